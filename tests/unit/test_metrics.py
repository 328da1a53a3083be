"""Names, types and sentences of metrics; every figure of a part is one; the page has them all."""

import json
import re
import time
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest

from metric_tools import check
from qibai.api.metrics import Metrics
from qibai.api.node_metrics import ANCHOR, BACKUP, NodeMetrics
from qibai.api.part_metrics import ELSEWHERE, GATEWAY, LINK, RECORDER, Figure
from qibai.api.watched import _Collector
from qibai.config import Config
from qibai.core.events import CallEvent
from qibai.messaging.link import LinkState, LinkStatus
from qibai.messaging.stats import Stats as GatewayStats
from qibai.records.keeper import Keeper
from qibai.records.meter import REASONS, Buckets, CallMeter
from qibai.records.recorder import Stats as RecorderStats
from qibai.store.backup.state import LastBackup, note_backup
from qibai.store.pools import Pool
from qibai.store.watch import PaperEnd, Watched
from recorder_tools import T0, answered_call

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
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
        reasons={"busy": 3, "not_bound": 1},
        post_dial_delay=delays,
        setup=Buckets.of((1.0,)),
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
            "losses": {"receipts_unread": 7},
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


def names(figures: dict[str, Figure]) -> set[str]:
    return {one.name + ("_total" if one.kind == "counter" else "") for one in figures.values()}


def test_all_of_it_keeps_to_the_conventions(config: Config) -> None:
    metrics = Metrics(config.run_dir, None)
    metrics.request("GET", "/v1/codes", 200, 0.01)
    metrics.load(binds=0, releases=0, connections_free=8)
    text = metrics.text(_Collector(watched(), {"acme": 2}), NodeMetrics(config)).decode()
    found = check(text)
    parts = names(dict(RECORDER)) | names(dict(GATEWAY)) | names(dict(LINK))
    assert parts | {BACKUP, ANCHOR, "qibai_recorder_up", "qibai_gateway_up", "qibai_link_up"} <= set(found)
    assert {kind for name, kind in found.items() if name.endswith("_total")} == {"counter"}
    for line in (
        "qibai_recorder_up 1.0",
        'qibai_calls_ended_total{reason="busy"} 3.0',
        'qibai_messages_ended_total{state="delivered"} 3.0',
        'qibai_link_parts_sent_total{link="mobile",protocol="smpp"} 6.0',
        "qibai_receipts_unread_total 7.0",
        'qibai_call_post_dial_delay_seconds_bucket{le="0.5"} 2.0',
        'qibai_call_post_dial_delay_seconds_bucket{le="+Inf"} 3.0',
        "qibai_call_post_dial_delay_seconds_count 3.0",
        f"{BACKUP} {NOW.timestamp()!r}".replace("1780272000.0", "1.780272e+09"),
    ):
        assert line in text


def test_a_part_that_is_silent_is_not_up(config: Config) -> None:
    path = config.run_dir / "recorder.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"at": time.time() - 60}))
    (config.run_dir / "gateway.json").unlink()
    text = Metrics(config.run_dir, None).text().decode()
    assert "qibai_recorder_up 0.0" in text and "qibai_gateway_up 0.0" in text
    assert "qibai_calls_running 2.0" in text and "qibai_messages_ended_total{" not in text


@pytest.mark.parametrize(("stats", "figures"), [(RecorderStats, RECORDER), (GatewayStats, GATEWAY)])
def test_every_figure_of_a_part_has_its_metric(stats: type, figures: dict[str, Figure]) -> None:
    assert {field.name for field in msgspec.structs.fields(stats)} == set(figures) | (
        ELSEWHERE & {field.name for field in msgspec.structs.fields(stats)}
    )


def test_the_page_has_every_metric_of_the_parts() -> None:
    section = PAGE.read_text("utf-8").partition("## Metrics")[2].partition("\n## ")[0]
    now, _, before = section.partition("Some metrics were renamed")
    listed = set(re.findall(r"^\| `(qibai_\w+)[`{]", now, re.MULTILINE))
    assert names(dict(RECORDER)) | names(dict(GATEWAY)) | names(dict(LINK)) | {BACKUP, ANCHOR} <= listed
    rows = re.findall(r"^\| (`qibai_[^|]*) \| ([^|]*) \|$", before, re.MULTILINE)
    gone = {name for old, _ in rows for name in re.findall(r"`(qibai_\w+)", old)}
    assert len(gone) > 20 and not gone & listed


def test_delays_are_measured_once_whatever_the_order_of_events() -> None:
    decided, ringing, answered, ended = answered_call(7)
    for order in ((decided, ringing, answered), (ringing, decided, answered), (answered, ringing, decided)):
        kept = Keeper(60, 3_600)
        kept.hear([*order, *order], now=T0 + 60, wall=T0 + 60)
        meter = kept.meter
        assert (sum(meter.post_dial_delay.counts), meter.post_dial_delay.sum) == (1, 1.0)
        assert (sum(meter.setup.counts), meter.setup.sum) == (1, 2.0)
        kept.hear([ended, ended], now=T0 + 60, wall=T0 + 60)
        assert meter.ended == {"answered": 1}


def test_reasons_are_a_closed_list() -> None:
    meter = CallMeter()
    for reason in ("busy", "not_bound", "loop", "something new", ""):
        meter.end(reason)
    assert meter.ended == {"busy": 1, "not_bound": 1, "loop": 1, "other": 2}
    assert all(re.fullmatch("[a-z_]+", reason) for reason in REASONS)


def test_a_refused_call_is_counted_and_not_kept() -> None:
    kept = Keeper(60, 3_600)
    refused: CallEvent = msgspec.structs.replace(answered_call(8)[0], reason="not_bound", binding_id=None)
    kept.hear([refused], now=T0 + 60, wall=T0 + 60)
    assert kept.meter.ended == {"not_bound": 1} and not kept.live
