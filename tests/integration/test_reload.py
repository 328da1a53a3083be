"""A changed configuration is noticed, and taken over without a restart where that is possible."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import Cli, cli_in

from qibai.testing.platform import free_port, wait_for

pytestmark = pytest.mark.voice
PEER = '[[voice.peers]]\nname = "{name}"\nhost = "127.0.0.1"\nport = {port}\n'
LINK = (
    '[[messaging.links]]\nname = "{name}"\nprotocol = "smpp"\n'
    'host = "127.0.0.1"\nport = {port}\naccount = "a"\n'
)


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    with cli_in(tmp_path / "home") as made:
        made.home.mkdir()
        yield made


def finding(cli: Cli, name: str) -> dict[str, str]:
    checks: list[dict[str, str]] = json.loads(cli.run("doctor", "--json", status=None).stdout)["checks"]
    return next(one for one in checks if one["name"] == name)


def link_names(cli: Cli) -> set[str]:
    said = json.loads((cli.config.run_dir / "gateway.json").read_bytes())
    return {one["name"] for one in said["links"]}


def test_peers_links_and_limits_without_a_restart(cli: Cli) -> None:
    file = cli.home / "qibai.toml"
    dead = free_port("127.0.0.1")
    file.write_text(PEER.format(name="first", port=dead) + LINK.format(name="one", port=dead))
    cli.start()
    before = {name: part["pid"] for name, part in cli.parts().items()}
    assert finding(cli, "configuration")["state"] == "ok"

    file.write_text(
        PEER.format(name="second", port=dead)
        + LINK.format(name="two", port=dead)
        + "[binding]\nmax_ttl_s = 90_000\n[recorder]\nbatch_ms = 100\n"
    )
    found = finding(cli, "configuration")
    assert found["state"] == "warn"
    for word in (
        "kamailio: voice.peers",
        "gateway: messaging.links",
        "binding.max_ttl_s",
        "recorder.batch_ms",
    ):
        assert word in found["says"]
    assert cli.json("status")["changed"]["kamailio"] == ["voice.peers"]

    said = cli.json("reload")
    assert said == {
        "taken": {"gateway": ["messaging.links"], "api": ["binding.max_ttl_s"], "kamailio": ["voice.peers"]},
        "restart": {"recorder": ["recorder.batch_ms"]},
    }
    wait_for(lambda: link_names(cli) == {"two", "sip"}, "the gateway has the new link")
    assert "second" in finding(cli, "peers")["says"]
    assert {name: part["pid"] for name, part in cli.parts().items()} == before
    assert cli.json("status")["changed"] == {"recorder": ["recorder.batch_ms"]}


def test_a_mistake_changes_nothing_and_a_signal_reloads(cli: Cli) -> None:
    file = cli.home / "qibai.toml"
    supervisor = cli.start()
    file.write_text("[binding]\nmax_ttl_s = 0\n")
    assert "binding.max_ttl_s" in cli.run("reload", status=1).stderr
    file.write_text("[binding]\nmax_ttl_s = 90_000\n")
    supervisor.send_signal(signal.SIGHUP)
    wait_for(lambda: not cli.json("status")["changed"], "it is taken over")
    log = cli.home.parent / "up.log"
    wait_for(lambda: "api runs with the new binding.max_ttl_s" in log.read_text(), "the log says so")
