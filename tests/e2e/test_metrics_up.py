"""What ``/metrics`` of a whole platform says of calls, of Kamailio and of rtpengine."""

from collections.abc import Iterator
from pathlib import Path

import niquests
import pytest
from cli_tools import Cli
from prometheus_client.parser import text_string_to_metric_families
from up_tools import Both, platform_with_peers, tenant_key

from metric_tools import check
from qibai.client import Call, Client
from qibai.testing.platform import free_port, wait_for
from qibai.testing.sipp import Scenario, run
from voice_tools import CALLER_AT, A, B, C, answering, calling

pytestmark = pytest.mark.voice


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    with platform_with_peers(tmp_path_factory.mktemp("metrics")) as made:
        made.start()
        yield made


def scrape(cli: Cli) -> dict[tuple[str, ...], float]:
    """Each sample's value, by its name and the values of its labels in their names' order."""
    text = niquests.get(f"http://127.0.0.1:{cli.config.api.port}/metrics").text or ""
    check(text)
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_call_and_a_refused_call(cli: Cli, tmp_path: Path) -> None:
    def up(_: Call) -> None:
        wait_for(lambda: scrape(cli).get(("qibai_calls_running", "answered")) == 1, "the running call")
        found = scrape(cli)
        assert found["qibai_voice_up",] == found["qibai_media_up",] == 1
        wait_for(lambda: scrape(cli)["qibai_media_sessions",] == 1, "the session of rtpengine")

    with Client(f"http://127.0.0.1:{cli.config.api.port}", tenant_key(cli)) as client:
        both = Both(cli, client, tmp_path)
        caller, callee = calling(A, both.x).pause(7_000).request("BYE"), answering(B).expect_request("BYE")
        both.call(caller.expect(200), callee.reply(200), up)
        x = str(both.x)
        refused = Scenario(C.national).invite(x).expect(100, optional=True).expect(403).fail_ack(x)
        voice = cli.config.voice
        place = {"local": (CALLER_AT, free_port(CALLER_AT)), "remote": (voice.host, voice.udp_port)}
        run(refused, tmp_path / "refused", "caller", **place).wait()
    expected = {
        ("qibai_calls_received_total", "callers"): 2,
        ("qibai_calls_refused_total", "callers", "not_a_party"): 1,
        ("qibai_calls_ended_total", "answered", "callees", "answered"): 1,
        ("qibai_call_setup_seconds_count",): 1,
        ("qibai_call_duration_seconds_count",): 1,
        ("qibai_binds_total", "bound"): 1,
        ("qibai_calls_running", "answered"): 0,
    }
    wait_for(lambda: expected.items() <= scrape(cli).items(), f"counts, not {scrape(cli)}")
    seen = cli.json("top", "--once")
    assert (seen["calls"]["received"], seen["calls"]["answered"], seen["calls"]["asr"]) == (2, 1, 1.0)
    assert seen["up"] == dict.fromkeys(("kamailio", "rtpengine", "recorder", "gateway", "database"), True)


def test_a_peer_that_does_not_answer_is_down(tmp_path: Path) -> None:
    with platform_with_peers(tmp_path, QIBAI_VOICE_PROBE_INTERVAL_S="1") as cli:
        cli.start()
        wait_for(lambda: scrape(cli).get(("qibai_peer_up", "callees")) == 0, "the state of the peer", 60)
        assert ("qibai_peer_up", "callers") not in scrape(cli), "no calls go to that peer"
        (peer,) = (one for one in cli.json("top", "--once")["peers"] if one["peer"] == "callees")
        assert peer["up"] is False
