"""What recorder and gateway write of themselves, as metrics: each figure by its name, type and meaning.

Names follow Prometheus' conventions: counters end in ``_total``, units are seconds and bytes, a time is
``_timestamp_seconds``. What is counted as a loss (``core.losses``) is not given twice.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from qibai.api.metrics.losses import MESSAGE_LOSS
from qibai.api.metrics.spec import MetricSpec

_FRESH_S: Final = 10.0
_C: Final = "counter"
_G: Final = "gauge"
_H: Final = "histogram"

UP: Final[Mapping[str, MetricSpec]] = {
    part: MetricSpec(f"qibai_{part}_up", _G, f"1 if the {part} has reported in the last ten seconds.")
    for part in ("recorder", "gateway")
}
#: Of calls; the recorder counts them.
CALLS: Final[Mapping[str, MetricSpec]] = {
    "running": MetricSpec(
        "qibai_calls_running", _G, "Calls that go on now, by state: ringing or answered.", ("state",)
    ),
    "calls_received": MetricSpec(
        "qibai_calls_received", _C, "Calls that a peer has sent, connected or refused.", ("peer",)
    ),
    "calls_refused": MetricSpec(
        "qibai_calls_refused",
        _C,
        "Calls that the platform has refused, by the peer that sent them and the rule that refused them.",
        ("peer", "rule"),
    ),
    "calls_ended": MetricSpec(
        "qibai_calls_ended",
        _C,
        "Calls that went out and have ended, by the peer that had them last, by outcome"
        " (answered, unanswered, failed) and by reason.",
        ("peer", "outcome", "reason"),
    ),
    "calls_handed_on": MetricSpec(
        "qibai_calls_handed_on",
        _C,
        "Calls that a peer has failed and the next peer has got, by the failed peer and its SIP status.",
        ("peer", "status"),
    ),
    "ended": MetricSpec(
        "qibai_calls_ended_by_platform", _C, "Calls that the platform had to end, by reason.", ("reason",)
    ),
    "post_dial_delay": MetricSpec(
        "qibai_call_post_dial_delay_seconds", _H, "Time from the INVITE of a call to the first ringing."
    ),
    "setup": MetricSpec("qibai_call_setup_seconds", _H, "Time from the INVITE of a call to its answer."),
    "duration": MetricSpec("qibai_call_duration_seconds", _H, "Time from the answer of a call to its end."),
}
RECORDER: Final[Mapping[str, MetricSpec]] = {
    "at": MetricSpec("qibai_recorder_last_report_timestamp_seconds", _G, "When the recorder last reported."),
    "started_at": MetricSpec(
        "qibai_recorder_start_timestamp_seconds", _G, "When the recorder started and its counters began at 0."
    ),
    "store_up": MetricSpec("qibai_recorder_store_up", _G, "1 if the database answers the recorder."),
    "events": MetricSpec("qibai_recorder_events", _C, "Events of calls that the recorder has stored."),
    "rows": MetricSpec("qibai_recorder_records", _C, "Records of calls that the recorder made or changed."),
    "backlog_bytes": MetricSpec("qibai_spool_backlog_bytes", _G, "Events of calls that are not stored yet."),
}
#: Of messages; the gateway counts them.
MESSAGES: Final[Mapping[str, MetricSpec]] = {
    "accepted": MetricSpec("qibai_messages_accepted", _C, "Messages and parts that senders may forget."),
    "refused": MetricSpec(
        "qibai_messages_refused", _C, "Messages that were refused, by reason.", ("reason",)
    ),
    "attempts": MetricSpec("qibai_message_attempts", _C, "Attempts to send a message."),
    "retries": MetricSpec("qibai_message_retries", _C, "Attempts to send a message that were not the first."),
    "ended": MetricSpec(
        "qibai_messages_ended", _C, "Messages that came to an end, by final state.", ("state",)
    ),
    "reports": MetricSpec("qibai_message_reports", _C, "Ends of messages that senders' peers have taken."),
}
GATEWAY: Final[Mapping[str, MetricSpec]] = {
    "at": MetricSpec("qibai_gateway_last_report_timestamp_seconds", _G, "When the gateway last reported."),
    "started_at": MetricSpec(
        "qibai_gateway_start_timestamp_seconds", _G, "When the gateway started and its counters began at 0."
    ),
    "store_up": MetricSpec("qibai_gateway_store_up", _G, "1 if the database answers the gateway."),
    "accepting": MetricSpec("qibai_gateway_messages_accepting", _G, "Messages that are being accepted now."),
    "queued": MetricSpec("qibai_gateway_messages_queued", _G, "Messages in memory that wait to be sent."),
    "held": MetricSpec("qibai_gateway_messages_held", _G, "Messages in memory that wait for anything."),
    "parts_waiting": MetricSpec(
        "qibai_gateway_parts_waiting", _G, "Parts that wait for the rest of a message."
    ),
    "unstored": MetricSpec("qibai_gateway_changes_unstored", _G, "Changes that are not in the database yet."),
    "journal_bytes": MetricSpec("qibai_journal_bytes", _G, "Size of the gateway's journal."),
}
#: What the files say besides, and where it is: in losses, in links, or nowhere.
ELSEWHERE: Final = frozenset(
    {"refused", "damaged", "in_doubt", "reports_given_up", "journal_damaged", "links", "losses", "live"}
)
_LINK_LABELS: Final = ("link", "protocol")
LINK_UP: Final = MetricSpec("qibai_link_up", _G, "1 if a link can be used.", _LINK_LABELS)
LINK: Final[Mapping[str, MetricSpec]] = {
    "sessions": MetricSpec("qibai_link_sessions", _G, "Bound connections of a link.", _LINK_LABELS),
    "in_flight": MetricSpec(
        "qibai_link_in_flight", _G, "Parts sent on a link that wait for an answer.", _LINK_LABELS
    ),
    "window": MetricSpec(
        "qibai_link_window", _G, "Parts that may wait for an answer on a link at once.", _LINK_LABELS
    ),
    "received": MetricSpec(
        "qibai_link_parts_received", _C, "Parts that a link's peer has sent.", _LINK_LABELS
    ),
    "sent": MetricSpec("qibai_link_parts_sent", _C, "Parts that a link's peer has taken.", _LINK_LABELS),
    "refused": MetricSpec(
        "qibai_link_parts_refused", _C, "Parts that a link's peer has refused.", _LINK_LABELS
    ),
    "unread": MetricSpec(
        "qibai_link_receipts_unread", _C, "Receipts of a link that could not be read.", _LINK_LABELS
    ),
    "late": MetricSpec(
        "qibai_link_answers_late", _C, "Answers on a link that came after their time.", _LINK_LABELS
    ),
}


class PartMetrics(Collector):
    """Reads the files of both parts at each scrape."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def collect(self) -> Iterable[Metric]:
        for part, specs in (("recorder", {**RECORDER, **CALLS}), ("gateway", {**GATEWAY, **MESSAGES})):
            report = _read(self._run_dir / f"{part}.json")
            at = report.get("at")
            fresh = isinstance(at, int | float) and time.time() - at <= _FRESH_S
            yield GaugeMetricFamily(UP[part].name, UP[part].says, value=float(fresh))
            for key, spec in specs.items():
                if key in report:
                    yield _metric(spec, report[key])
            if part == "gateway":
                yield from _losses(report.get("losses"))
                yield from _links(report.get("links") or [])


def _read(path: Path) -> dict[str, Any]:
    """What a process wrote of itself; empty where it did not."""
    try:
        report = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def _metric(spec: MetricSpec, value: Any) -> Metric:
    """The value is a number, a time, a histogram, counts by one label, or rows of labels and a count."""
    if spec.kind == _H:
        return _histogram(spec, value)
    family = spec.family()
    rows: Iterable[Sequence[Any]]
    match value:
        case dict():
            rows = value.items()
        case list():
            rows = value
        case str():
            rows = [(datetime.fromisoformat(value).timestamp(),)]
        case _:
            rows = [(value,)]
    for *labels, count in rows:
        family.add_metric([str(label) for label in labels], float(count))
    return family


def _histogram(spec: MetricSpec, report: dict[str, Any]) -> Metric:
    buckets, count = [], 0
    for bound, counted in zip([*report["bounds"], "+Inf"], report["counts"], strict=True):
        count += counted
        buckets.append((str(bound), float(count)))
    return HistogramMetricFamily(spec.name, spec.says, buckets=buckets, sum_value=float(report["sum"]))


def _losses(losses: Any) -> Iterable[Metric]:
    for loss, count in (losses or {}).items():
        if loss in MESSAGE_LOSS:
            yield _metric(MESSAGE_LOSS[loss], count)


def _links(links: list[dict[str, Any]]) -> Iterable[Metric]:
    up, families = LINK_UP.family(), {key: spec.family() for key, spec in LINK.items()}
    for link in links:
        labels = [str(link["name"]), str(link["protocol"])]
        up.add_metric(labels, float(link["state"] == "up"))
        for key, family in families.items():
            family.add_metric(labels, float(link.get(key, 0)))
    yield from (up, *families.values())
