"""Names, types and sentences of metrics, as Prometheus wants them, and what the recorder counts of calls."""

import json
import time
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from metric_tools import check
from qibai.api.metrics import Metrics
from qibai.api.metrics.catalogue import EVERY
from qibai.api.metrics.engines import EngineMetrics
from qibai.api.metrics.node import NodeMetrics
from qibai.api.metrics.parts import CALLS, ELSEWHERE, GATEWAY, MESSAGES, RECORDER
from qibai.api.metrics.place import PlaceMetrics
from qibai.api.metrics.spec import MetricSpec
from qibai.config import Config
from qibai.core.calls import row_of
from qibai.core.events import CallEvent, CallEventKind
from qibai.core.losses import LOSSES
from qibai.engines import PeerState
from qibai.messaging.link import LinkState, LinkStatus
from qibai.messaging.stats import Stats as GatewayStats
from qibai.records.keeper import Keeper
from qibai.records.meter import Buckets, CallMeter
from qibai.records.recorder import Stats as RecorderStats
from qibai.store.backup.state import LastBackup, note_backup
from qibai.store.pools import Pool
from qibai.store.watch import PaperEnd, Watched
from recorder_tools import T0, answered_call

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = Config(home=tmp_path)
    made.run_dir.mkdir()
    delays = Buckets.of((0.5, 1.0))
    for seconds in (0.2, 0.5, 3.0):
        delays.observe(seconds)
    recorder = RecorderStats(
        at=time.time(),
        store_up=True,
        events=9,
        rows=4,
        refused=0,
        damaged=0,
        backlog_bytes=12,
        live=2,
        ended={"max_duration": 1},
        started_at=NOW.timestamp(),
        running={"ringing": 2, "answered": 5},
        calls_received=[("east", 9)],
        calls_refused=[("east", "not_bound", 2)],
        calls_ended=[("west", "answered", "answered", 3), ("west", "unanswered", "busy", 4)],
        calls_handed_on=[("south", "503", 1)],
        post_dial_delay=delays,
        setup=Buckets.of((1.0,)),
        duration=Buckets.of((5.0,)),
    )
    link = LinkStatus("mobile", "smpp", "client", LinkState.UP, NOW, "192.0.2.1:2775", 1, 0, 16, 5, 6, 0)
    counts = {one.name: 1 for one in msgspec.structs.fields(GatewayStats)}
    gateway = GatewayStats(
        **counts
        | {
            "at": time.time(),
            "started_at": NOW,
            "store_up": True,
            "refused": {"not_bound": 2},
            "ended": {"delivered": 3},
            "links": [link],
            "losses": dict.fromkeys(LOSSES, 0) | {"receipts_unread": 7},
        }
    )
    (made.run_dir / "recorder.json").write_bytes(msgspec.json.encode(recorder))
    (made.run_dir / "gateway.json").write_bytes(msgspec.json.encode(gateway))
    note_backup(made, LastBackup("/srv/backups/one", NOW, 5))
    (made.home / "audit.anchors").touch()
    return made


def watched() -> Watched:
    pool = Pool(
        **{"at": NOW, "platform": "east", "tenant": "acme", "province": None, "scene": None, "total": 10},
        **{"free": 5, "bound": 5, "quarantined": 0, "locked": 0, "exhausted_at": NOW, "alert": None},
    )
    paper = PaperEnd("approval", "east", "A-1", date(2026, 12, 1), None)
    return Watched(papers=[paper], uncertified=0, set_aside=0, draining=0, pools=[pool])


def scraped(config: Config) -> str:
    metrics = Metrics(config.run_dir, None)
    metrics.request("GET", "/v1/codes", 200, 0.01)
    metrics.load(binds=0, releases=0, connections_free=8)
    peers = {"west": PeerState.UP, "south": PeerState.DOWN, "north": PeerState.UNKNOWN}
    engines = EngineMetrics(voice=True, peers=peers, media=True, sessions=4)
    return metrics.text(PlaceMetrics(watched(), {"acme": 2}), engines, NodeMetrics(config)).decode()


def test_all_of_it_keeps_to_the_conventions(config: Config) -> None:
    text = scraped(config)
    assert check(text) == {sample: spec.kind for sample, spec in EVERY.items()}
    for line in (
        "qibai_recorder_up 1.0",
        'qibai_calls_running{state="answered"} 5.0',
        'qibai_calls_received_total{peer="east"} 9.0',
        'qibai_calls_refused_total{peer="east",rule="not_bound"} 2.0',
        'qibai_calls_ended_total{outcome="unanswered",peer="west",reason="busy"} 4.0',
        'qibai_calls_handed_on_total{peer="south",status="503"} 1.0',
        'qibai_peer_up{peer="west"} 1.0',
        'qibai_peer_up{peer="south"} 0.0',
        "qibai_media_sessions 4.0",
        'qibai_messages_ended_total{state="delivered"} 3.0',
        'qibai_link_parts_sent_total{link="mobile",protocol="smpp"} 6.0',
        "qibai_receipts_unread_total 7.0",
        'qibai_call_post_dial_delay_seconds_bucket{le="0.5"} 2.0',
        'qibai_call_post_dial_delay_seconds_bucket{le="+Inf"} 3.0',
        "qibai_call_post_dial_delay_seconds_count 3.0",
        "qibai_gateway_start_timestamp_seconds 1.780272e+09",
        "qibai_backup_last_timestamp_seconds 1.780272e+09",
    ):
        assert line in text
    assert 'peer="north"' not in text, "whether that peer is up is not known"


def test_every_sample_has_the_labels_and_the_sentence_of_its_metric(config: Config) -> None:
    for family in text_string_to_metric_families(scraped(config)):
        spec = EVERY.get(f"{family.name}_total", EVERY.get(family.name))
        if spec is not None:
            assert family.documentation == spec.says
            for sample in family.samples:
                assert set(sample.labels) - {"le"} == set(spec.labels), sample


def test_a_part_that_is_silent_is_not_up(config: Config) -> None:
    path = config.run_dir / "recorder.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"at": time.time() - 60}))
    (config.run_dir / "gateway.json").unlink()
    text = Metrics(config.run_dir, None).text().decode()
    assert "qibai_recorder_up 0.0" in text and "qibai_gateway_up 0.0" in text
    assert 'qibai_calls_running{state="ringing"} 2.0' in text and "qibai_messages_ended_total{" not in text


def test_engines_that_do_not_answer_are_down_and_those_of_another_node_are_not_spoken_of(
    config: Config,
) -> None:
    metrics = Metrics(config.run_dir, None)
    text = metrics.text(EngineMetrics(voice=True, media=True)).decode()
    assert "qibai_voice_up 0.0" in text and "qibai_media_up 0.0" in text
    assert "qibai_media_sessions 0.0" not in text and "qibai_peer_up{" not in text
    assert "qibai_voice_up" not in metrics.text(EngineMetrics()).decode()


@pytest.mark.parametrize(
    ("stats", "specs"), [(RecorderStats, {**RECORDER, **CALLS}), (GatewayStats, {**GATEWAY, **MESSAGES})]
)
def test_every_figure_of_a_part_has_its_metric(stats: type, specs: dict[str, MetricSpec]) -> None:
    fields = {field.name for field in msgspec.structs.fields(stats)}
    assert fields == set(specs) | (ELSEWHERE & fields)


def heard(*events: CallEvent, into: Keeper | None = None) -> CallMeter:
    """The meter of a keeper that has heard these events, and nothing more a second later."""
    kept = Keeper(60, 3_600) if into is None else into
    kept.hear(events, now=T0 + 60, wall=T0 + 60)
    kept.hear([], now=T0 + 61, wall=T0 + 61, heard_at=T0 + 60.5)
    return kept.meter


def call(reason: str = "answered", **end: object) -> list[CallEvent]:
    """A call from the peer east to the peer west."""
    decided, ringing, answer, ended = answered_call(7)
    return [
        msgspec.structs.replace(decided, caller_peer="east"),
        ringing,
        msgspec.structs.replace(answer, callee_peer="west"),
        msgspec.structs.replace(ended, reason=reason, callee_peer="west", **end),
    ]


def test_a_call_is_measured_once_whatever_the_order_of_its_events() -> None:
    decided, ringing, answered, ended = call()
    for order in (
        (decided, ringing, answered, ended),
        (ringing, ended, decided, answered),
        (ended, answered, ringing, decided),
    ):
        meter = heard(*order, *order)
        assert meter.received == {"east": 1} and not meter.refused
        assert meter.ended == {("west", "answered", "answered"): 1}
        assert (sum(meter.post_dial_delay.counts), meter.post_dial_delay.sum) == (1, 1.0)
        assert (sum(meter.setup.counts), meter.setup.sum) == (1, 2.0)
        assert (sum(meter.duration.counts), meter.duration.sum) == (1, 10.5)


def test_the_node_that_hears_of_another_nodes_call_does_not_count_it() -> None:
    _, ringing, answered, ended = call()
    for part in ([ended], [answered, ended], [ringing]):
        meter = heard(*part)
        assert not meter.received and not meter.ended and not sum(meter.duration.counts)


def test_a_recorder_that_starts_in_the_middle_of_a_call_counts_its_end_alone() -> None:
    decided, ringing, answered, ended = call()
    kept = Keeper(60, 3_600)
    row = row_of(decided)
    row.ringing_at, row.answered_at = row_of(ringing).ringing_at, row_of(answered).answered_at
    kept.add(row, T0 + 60, wall=T0 + 60)
    assert kept.running() == (0, 1)
    meter = heard(ended, into=kept)
    assert meter.ended == {("west", "answered", "answered"): 1} and not meter.received
    assert not sum(meter.setup.counts) and sum(meter.duration.counts) == 1


@pytest.mark.parametrize(
    ("reason", "rang", "outcome"),
    [
        ("busy", False, "unanswered"),
        ("no_answer", True, "unanswered"),
        ("cancelled", True, "unanswered"),
        ("cancelled", False, "failed"),
        ("unreachable", False, "failed"),
        ("media_refused", True, "failed"),
    ],
)
def test_calls_without_an_answer_end_unanswered_or_failed(reason: str, rang: bool, outcome: str) -> None:
    decided, ringing, _, ended = call(reason)
    meter = heard(decided, ended, *([ringing] if rang else []))
    assert meter.ended == {("west", outcome, reason): 1}


def test_what_the_next_peer_got_is_counted_for_the_peer_that_failed() -> None:
    decided, _, answered, ended = call()
    handed_on = msgspec.structs.replace(ended, kind=CallEventKind.HANDED_ON, gave_up="503 south", reason=None)
    meter = heard(decided, handed_on, answered, ended)
    assert meter.handed_on == {("south", "503"): 1}


def test_refused_calls_are_counted_by_rule_and_values_of_labels_are_a_closed_list() -> None:
    def refused(id: int, reason: str, peer: str) -> CallEvent:
        decided = answered_call(id)[0]
        return msgspec.structs.replace(
            decided, reason=reason, binding_id=None, callee=None, caller_peer=peer, ended_by="platform"
        )

    kept = Keeper(60, 3_600)
    meter = heard(
        refused(1, "not_bound", "east"),
        refused(2, "loop", "west"),
        refused(3, "something new", "west"),
        refused(4, "source_unknown", "192.0.2.7"),
        into=kept,
    )
    assert meter.refused == {
        ("east", "not_bound"): 1,
        ("west", "loop"): 1,
        ("west", "other"): 1,
        ("strangers", "source_unknown"): 1,
    }
    assert meter.received == {"east": 1, "west": 2, "strangers": 1}
    assert not meter.ended and not kept.live
    assert heard(*call("something new")).ended == {("west", "answered", "other"): 1}
