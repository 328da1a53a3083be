"""The page on testing: a platform with its configuration, and each of its peers beside it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import SOCK_STREAM

import pytest
from cli_tools import Cli, cli_in
from test_docs import blocks

from qibai.testing.platform import free_port, wait_for
from qibai.testing.ports import own_network

pytestmark = pytest.mark.voice


class Trial:
    """A platform as the page configures it, at addresses and ports of this test's own."""

    def __init__(self, cli: Cli, folder: Path, moved: dict[str, str]) -> None:
        self.cli, self._folder, self._moved = cli, folder, moved

    def here(self, text: str) -> str:
        return re.sub("|".join(map(re.escape, self._moved)), lambda found: self._moved[found[0]], text)

    @contextmanager
    def peer(self, command: str, x: str) -> Iterator[Path]:
        """One of the page's commands in the background; gives the file that it prints to."""
        said = self._folder / f"{len(list(self._folder.iterdir()))}.said"
        line = self.here(command).replace("python ", f"exec {sys.executable} ", 1)
        with said.open("wb") as out:
            process = subprocess.Popen(["bash", "-c", line], stdout=out, env=os.environ | {"X": x})
        try:
            yield said
        finally:
            process.terminate()
            process.wait()


def facts(said: Path) -> list[dict[str, object]]:
    """What a peer has printed, in whole lines."""
    *lines, _ = said.read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    folder = tmp_path_factory.mktemp("trial")
    called, calling = f"{own_network()}.46.2", f"{own_network()}.46.3"
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text("secret\n")
    with cli_in(folder / "home", QIBAI_VOICE_PROBE_INTERVAL_S="1") as cli:
        moved = {
            "127.0.0.2": called,
            "127.0.0.3": calling,
            "5060": str(cli.config.voice.udp_port),
            "5070": str(free_port(called)),
            "/etc/qibai/trial.password": str(secret),
            **{port: str(free_port("127.0.0.1", SOCK_STREAM)) for port in ("2775", "7890", "8080")},
        }
        (folder / "said").mkdir()
        made = Trial(cli, folder / "said", moved)
        (toml,) = blocks("testing.md", "toml")
        cli.home.mkdir()
        cli.config.file.write_text(made.here(toml), "utf-8")
        cli.start()
        yield made


@pytest.fixture(scope="module")
def binding(trial: Trial) -> dict[str, str]:
    """Of A and B; from then on the command line has the key of its tenant."""
    cli = trial.cli
    cli.env["QIBAI_API_KEY"] = cli.json("tenant", "add", "trial")["api_key"]
    cli.run("code", "add", "70012345679", "--tenant", "trial")
    parties = ("--a", "13800138000", "--b", "13900139000", "--order", "order-1")
    return dict(cli.json("bind", *parties, "--mode", "AXB"))


@pytest.fixture(scope="module")
def x(binding: dict[str, str]) -> str:
    return binding["x"]


def python(trial: Trial, x: str, place: int) -> "subprocess.Popen[str]":
    """One of the page's Python blocks."""
    code = f"X = {x!r}\n" + trial.here(blocks("testing.md", "python")[place])
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def send(trial: Trial, binding: dict[str, str], sender: str) -> None:
    trial.cli.run("send", binding["id"], "您的包裹到了", "--from", sender, "--order", "order-1")


def test_messages_reach_the_peers_in_terminals(trial: Trial, binding: dict[str, str], x: str) -> None:
    smpp, cmpp = blocks("testing.md", "sh")[0].splitlines()
    with trial.peer(smpp, x) as centre, trial.peer(cmpp, x) as gateway:
        wait_for(lambda: trial.cli.run("links", status=None).stdout.count(" up ") >= 2, "the links", 60)
        send(trial, binding, "13900139000")
        send(trial, binding, "13800138000")
        for said, to in ((centre, "13900139000"), (gateway, "13800138000")):
            wait_for(lambda said=said: len(facts(said)) > 1, "the message", 60)
            assert facts(said)[1] == {"from": x, "to": to, "text": "您的包裹到了"}


def test_a_message_centre_in_python(trial: Trial, binding: dict[str, str], x: str) -> None:
    with python(trial, x, 0) as program:
        send(trial, binding, "13800138000")
        said, _ = program.communicate(timeout=120)
    assert program.returncode == 0
    assert said == "13900139000 您的包裹到了\n"


def test_telephones_in_python(trial: Trial, x: str) -> None:
    with python(trial, x, 1) as program:
        said, _ = program.communicate(timeout=120)
    assert program.returncode == 0
    assert re.fullmatch(rf"200 sip:{x}@\S+\n", said)


def test_telephones_in_terminals(trial: Trial, x: str) -> None:
    callee, caller = blocks("testing.md", "sh")[2].split("\n", 1)
    with trial.peer(callee, x) as called:
        wait_for(lambda: "probed" in called.read_text("utf-8"), "the platform's question", 60)
        with trial.peer(caller, x) as calling:
            wait_for(lambda: facts(calling) and len(facts(called)) > 2, "the answer", 60)
            assert facts(calling)[0]["status"] == 200
