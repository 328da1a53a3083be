"""What ``qibai top`` shows, from two looks at ``/metrics``."""

from collections import Counter
from datetime import UTC, datetime
from typing import Final

import msgspec

from qibai.cli.top.samples import Samples
from qibai.core.figures import ANSWERED, FAILED, UNANSWERED
from qibai.core.losses import CALL_LOSSES, LOSSES

_ENDED: Final = "qibai_calls_ended_total"
_DURATION: Final = "qibai_call_duration_seconds"
_REQUESTS: Final = "qibai_api_requests_total"


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that came and ended. Ratios are from 0 to 1, times in seconds, null where nothing was counted."""

    received: int
    refused: int
    ended: int
    answered: int
    asr: float | None
    ner: float | None
    acd_s: float | None
    post_dial_delay_p95_s: float | None
    setup_p95_s: float | None


class PeerLook(msgspec.Struct, frozen=True, kw_only=True):
    """One peer. `up` null: it is not probed, or calls do not go to it."""

    peer: str
    up: bool | None
    received: int
    ended: int
    asr: float | None
    ner: float | None
    handed_on: int  #: calls that it failed and the next peer got


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A node at one moment. Counts are since `since`; `total` is since the recorder started."""

    node: str
    version: str
    at: datetime
    since: datetime | None
    started_at: datetime | None
    up: dict[str, bool]
    answered_now: int
    ringing_now: int
    media_sessions: int | None
    calls: Flow
    total: Flow
    peers: list[PeerLook]
    refused: dict[str, int]
    unanswered: dict[str, int]
    binds: dict[str, int]
    releases: dict[str, int]
    pools_low: list[str]
    messages_accepted: int
    messages_ended: dict[str, int]
    messages_queued: int
    links: dict[str, bool]
    requests: int
    errors: int
    request_p95_s: float | None
    spool_bytes: int | None
    losses: dict[str, int]
    backup_at: datetime | None


def look_of(now: Samples, before: Samples | None) -> Look:
    """``before``: the look that counts begin at; None for since the processes started."""
    new = now if before is None else now.since(before)
    started_at = _moment(now.value("qibai_recorder_start_timestamp_seconds"))
    build = next((labels for labels, _ in now.every("qibai_build_info")), {})
    sessions = now.value("qibai_media_sessions")
    spool = now.value("qibai_spool_backlog_bytes")
    return Look(
        node=build.get("node", ""),
        version=build.get("version", ""),
        at=datetime.fromtimestamp(now.at, UTC),
        since=started_at if before is None else datetime.fromtimestamp(before.at, UTC),
        started_at=started_at,
        up=_up(now),
        answered_now=now.count("qibai_calls_running", state="answered"),
        ringing_now=now.count("qibai_calls_running", state="ringing"),
        media_sessions=None if sessions is None else round(sessions),
        calls=_flow(new),
        total=_flow(now),
        peers=_peers(now, new),
        refused=new.by("rule", "qibai_calls_refused_total"),
        unanswered=dict(
            (
                Counter(new.by("reason", _ENDED, outcome=UNANSWERED))
                + Counter(new.by("reason", _ENDED, outcome=FAILED))
            ).most_common()
        ),
        binds=new.by("result", "qibai_binds_total"),
        releases=new.by("result", "qibai_releases_total"),
        pools_low=[
            f"{labels['tenant']} {labels['province']} {labels['alert']}"
            for labels, value in now.every("qibai_pool_alert")
            if value
        ],
        messages_accepted=new.count("qibai_messages_accepted_total"),
        messages_ended=new.by("state", "qibai_messages_ended_total"),
        messages_queued=now.count("qibai_gateway_messages_queued"),
        links={labels["link"]: bool(value) for labels, value in now.every("qibai_link_up")},
        requests=new.count(_REQUESTS),
        errors=sum(count for status, count in new.by("status", _REQUESTS).items() if status >= "500"),
        request_p95_s=new.quantile(0.95, "qibai_api_request_duration_seconds"),
        spool_bytes=None if spool is None else round(spool),
        losses={
            name: count for name in (*CALL_LOSSES, *LOSSES) if (count := now.count(f"qibai_{name}_total"))
        },
        backup_at=_moment(now.value("qibai_backup_last_timestamp_seconds")),
    )


def _up(now: Samples) -> dict[str, bool]:
    names = {"kamailio": "voice", "rtpengine": "media", "recorder": "recorder"}
    if now.value("qibai_gateway_last_report_timestamp_seconds") is not None:
        names["gateway"] = "gateway"
    names["database"] = "recorder_store"
    values = {part: now.value(f"qibai_{name}_up") for part, name in names.items()}
    return {part: bool(value) for part, value in values.items() if value is not None}


def _flow(samples: Samples) -> Flow:
    asr, ner = _ratios(samples)
    talked, calls = samples.value(f"{_DURATION}_sum"), samples.count(f"{_DURATION}_count")
    return Flow(
        received=samples.count("qibai_calls_received_total"),
        refused=samples.count("qibai_calls_refused_total"),
        ended=samples.count(_ENDED),
        answered=samples.count(_ENDED, outcome=ANSWERED),
        asr=asr,
        ner=ner,
        acd_s=talked / calls if talked is not None and calls else None,
        post_dial_delay_p95_s=samples.quantile(0.95, "qibai_call_post_dial_delay_seconds"),
        setup_p95_s=samples.quantile(0.95, "qibai_call_setup_seconds"),
    )


def _peers(now: Samples, new: Samples) -> list[PeerLook]:
    up = {labels["peer"]: bool(value) for labels, value in now.every("qibai_peer_up")}
    received = now.by("peer", "qibai_calls_received_total")
    ended, handed_on = now.by("peer", _ENDED), now.by("peer", "qibai_calls_handed_on_total")
    found = []
    for peer in sorted({*up, *received, *ended, *handed_on}):
        asr, ner = _ratios(new, peer=peer)
        found.append(
            PeerLook(
                peer=peer,
                up=up.get(peer),
                received=new.count("qibai_calls_received_total", peer=peer),
                ended=new.count(_ENDED, peer=peer),
                asr=asr,
                ner=ner,
                handed_on=new.count("qibai_calls_handed_on_total", peer=peer),
            )
        )
    return found


def _ratios(samples: Samples, **labels: str) -> tuple[float | None, float | None]:
    """Answer-seizure ratio and network effectiveness ratio."""
    ended = samples.count(_ENDED, **labels)
    if not ended:
        return None, None
    answered, failed = (samples.count(_ENDED, outcome=how, **labels) for how in (ANSWERED, FAILED))
    return answered / ended, (ended - failed) / ended


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
