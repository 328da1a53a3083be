"""What recorder and gateway write of themselves, as metrics: each figure by its name, type and meaning.

Names follow Prometheus' conventions: counters end in ``_total``, units are seconds and bytes, a time is
``_timestamp_seconds``. What is counted as a loss (``core.losses``) is not given twice.
"""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from qibai.core.losses import LOSSES

_FRESH_S: Final = 10.0


class Figure(NamedTuple):
    """``name`` of a counter is without ``_total``; ``label``: the figure is a table by it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    says: str
    label: str | None = None


_C: Final = "counter"
_G: Final = "gauge"
_H: Final = "histogram"
_FAMILIES: Final = {_C: CounterMetricFamily, _G: GaugeMetricFamily}

RECORDER: Final[Mapping[str, Figure]] = {
    "at": Figure("qibai_recorder_last_report_timestamp_seconds", _G, "When the recorder last reported."),
    "store_up": Figure("qibai_recorder_store_up", _G, "1 if the database answers the recorder."),
    "events": Figure("qibai_recorder_events", _C, "Events of calls that the recorder has stored."),
    "rows": Figure("qibai_recorder_records", _C, "Records of calls that the recorder made or changed."),
    "backlog_bytes": Figure("qibai_spool_backlog_bytes", _G, "Events of calls that are not stored yet."),
    "live": Figure("qibai_calls_running", _G, "Calls that ring or are answered now."),
    "ended": Figure(
        "qibai_calls_ended_by_platform", _C, "Calls that the platform had to end, by reason.", "reason"
    ),
    "reasons": Figure("qibai_calls_ended", _C, "Calls that ended or were refused, by reason.", "reason"),
    "post_dial_delay": Figure(
        "qibai_call_post_dial_delay_seconds", _H, "Time from the INVITE of a call to the first ringing."
    ),
    "setup": Figure("qibai_call_setup_seconds", _H, "Time from the INVITE of a call to its answer."),
}
GATEWAY: Final[Mapping[str, Figure]] = {
    "at": Figure("qibai_gateway_last_report_timestamp_seconds", _G, "When the gateway last reported."),
    "store_up": Figure("qibai_gateway_store_up", _G, "1 if the database answers the gateway."),
    "accepted": Figure("qibai_messages_accepted", _C, "Messages and parts that senders may forget."),
    "refused": Figure("qibai_messages_refused", _C, "Messages that were refused, by reason.", "reason"),
    "attempts": Figure("qibai_message_attempts", _C, "Attempts to send a message."),
    "retries": Figure("qibai_message_retries", _C, "Attempts to send a message that were not the first."),
    "ended": Figure("qibai_messages_ended", _C, "Messages that came to an end, by final state.", "state"),
    "reports": Figure("qibai_message_reports", _C, "Ends of messages that senders' peers have taken."),
    "accepting": Figure("qibai_gateway_messages_accepting", _G, "Messages that are being accepted now."),
    "queued": Figure("qibai_gateway_messages_queued", _G, "Messages in memory that wait to be sent."),
    "held": Figure("qibai_gateway_messages_held", _G, "Messages in memory that wait for anything."),
    "parts_waiting": Figure("qibai_gateway_parts_waiting", _G, "Parts that wait for the rest of a message."),
    "unstored": Figure("qibai_gateway_changes_unstored", _G, "Changes that are not in the database yet."),
    "journal_bytes": Figure("qibai_journal_bytes", _G, "Size of the gateway's journal."),
}
#: What the files say besides, and where it is: in losses, in links, or nowhere.
ELSEWHERE: Final = frozenset(
    {"refused", "damaged", "in_doubt", "reports_given_up", "journal_damaged", "started_at", "links", "losses"}
)
LINK: Final[Mapping[str, Figure]] = {
    "sessions": Figure("qibai_link_sessions", _G, "Bound connections of a link."),
    "in_flight": Figure("qibai_link_in_flight", _G, "Parts sent on a link that wait for an answer."),
    "window": Figure("qibai_link_window", _G, "Parts that may wait for an answer on a link at once."),
    "received": Figure("qibai_link_parts_received", _C, "Parts that a link's peer has sent."),
    "sent": Figure("qibai_link_parts_sent", _C, "Parts that a link's peer has taken."),
    "refused": Figure("qibai_link_parts_refused", _C, "Parts that a link's peer has refused."),
    "unread": Figure("qibai_link_receipts_unread", _C, "Receipts of a link that could not be read."),
    "late": Figure("qibai_link_answers_late", _C, "Answers on a link that came after their time."),
}
_LINK_LABELS: Final = ("link", "protocol")


class PartMetrics(Collector):
    """Reads the files of both parts at each scrape."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def collect(self) -> Iterable[Metric]:
        for part, figures in (("recorder", RECORDER), ("gateway", GATEWAY)):
            said = _said(self._run_dir / f"{part}.json")
            at = said.get("at")
            fresh = isinstance(at, int | float) and time.time() - at <= _FRESH_S
            yield GaugeMetricFamily(
                f"qibai_{part}_up", f"1 if the {part} reported a moment ago.", value=float(fresh)
            )
            for key, figure in figures.items():
                if key in said:
                    yield from _family(figure, said[key])
            if part == "gateway":
                yield from _losses(said.get("losses"))
                yield from _links(said.get("links") or [])


def _said(path: Path) -> dict[str, Any]:
    """What a process wrote of itself; empty where it did not."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _family(figure: Figure, value: Any) -> Iterable[Metric]:
    if figure.kind == _H:
        yield _histogram(figure, value)
    elif figure.label is not None:
        family = _FAMILIES[figure.kind](figure.name, figure.says, labels=[figure.label])
        for kind, count in value.items():
            family.add_metric([str(kind)], float(count))
        yield family
    else:
        yield _FAMILIES[figure.kind](figure.name, figure.says, value=float(value))


def _histogram(figure: Figure, said: dict[str, Any]) -> Metric:
    buckets, count = [], 0
    for bound, counted in zip([*said["bounds"], "+Inf"], said["counts"], strict=True):
        count += counted
        buckets.append((str(bound), float(count)))
    return HistogramMetricFamily(figure.name, figure.says, buckets=buckets, sum_value=float(said["sum"]))


def _losses(losses: Any) -> Iterable[Metric]:
    for loss, count in (losses or {}).items():
        if loss in LOSSES:
            yield CounterMetricFamily(f"qibai_{loss}", LOSSES[loss].says, value=float(count))


def _links(links: list[dict[str, Any]]) -> Iterable[Metric]:
    up = GaugeMetricFamily("qibai_link_up", "1 if a link can be used.", labels=_LINK_LABELS)
    families = {
        key: _FAMILIES[one.kind](one.name, one.says, labels=_LINK_LABELS) for key, one in LINK.items()
    }
    for link in links:
        labels = [str(link["name"]), str(link["protocol"])]
        up.add_metric(labels, float(link["state"] == "up"))
        for key, family in families.items():
            family.add_metric(labels, float(link.get(key, 0)))
    yield from (up, *families.values())
