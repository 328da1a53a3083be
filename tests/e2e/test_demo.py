"""``qibai demo``, as a newcomer runs it."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import combinations
from pathlib import Path

import pytest
from cli_tools import Cli, cli_in

pytestmark = pytest.mark.voice
ROOT = Path(__file__).parents[2]


@contextmanager
def demo_in(home: Path) -> Iterator[Cli]:
    """A home without any setting: the demo chooses its ports."""
    with cli_in(home) as cli:
        for name in [name for name in cli.env if name.startswith("QIBAI_") and name != "QIBAI_HOME"]:
            del cli.env[name]
        yield cli


def test_the_demo_places_a_call_sends_a_message_and_leaves_the_platform_running(tmp_path: Path) -> None:
    with demo_in(tmp_path / "home") as cli:
        shown = cli.json("demo")
        assert shown["leaked"] is False
        assert shown["caller_saw"][0].startswith("SIP/2.0 200 ")
        assert shown["callee_saw"][0].startswith("INVITE ")
        assert any(line.startswith("c=IN IP4 ") for line in shown["callee_saw"])
        assert min(shown["heard_by_caller"], shown["heard_by_callee"]) > 50
        assert shown["call"]["called"] == shown["binding"]["x"]
        assert shown["message"]["state"] == "delivered"
        assert shown["receiver_got"][0].startswith("MESSAGE ")
        assert shown["receiver_got"][-1] == "At the door, please call ***********"  # A wrote its number
        assert cli.json("status")["running"]
        said = [line for line in cli.run("doctor").stdout.splitlines() if line[0] in "✓!–✗"]
        for page in ("docs/operations.md", "docs/zh-CN/operations.md"):
            sample = re.findall(r"^[✓!–✗] .*", (ROOT / page).read_text(), re.MULTILINE)
            shown_there = [line.split("  ")[0][2:] for line in sample if "  " in line]
            assert shown_there == [line.split("  ")[0][2:] for line in said], page
        again = cli.run("demo").stdout
        assert "A never saw B's number, B never saw A's" in again
        assert "GET /v1/calls" in again and "GET /v1/messages" in again
        assert "down" in again
        assert cli.json("down")["stopped"]
        assert cli.processes() == []


def test_demos_run_beside_each_other(tmp_path: Path) -> None:
    """Each in a home of its own, beside another program on rtpengine's usual port.

    No two share a port for media, though the commands that chose the ports have ended.
    """
    with ExitStack() as homes:
        ranges = []
        other = homes.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with suppress(OSError):  # then somebody else has it
            other.bind(("127.0.0.1", 2223))
        for name in ("one", "two", "three"):
            cli = homes.enter_context(demo_in(tmp_path / name))
            assert cli.json("demo")["leaked"] is False
            assert cli.config.voice.media_ng_port != 2223
            ranges.append(set(cli.config.voice.media_ports))
        assert all(one.isdisjoint(two) for one, two in combinations(ranges, 2))
