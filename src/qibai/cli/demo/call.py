"""The call: two SIPp user agents, each with its own RTP, and the platform between them."""

import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qibai.cli.demo.media import Phone
from qibai.cli.demo.prepare import CALLEE, CALLER, Ready
from qibai.cli.output import note
from qibai.cli.remote import remote
from qibai.core.errors import ConfigError, Unavailable
from qibai.testing import sipp
from qibai.testing.platform import free_port, listening, wait_for

FRAMES: Final = 100  # two seconds
#: On a busy machine a 180 may be overtaken by a 200 that follows at once; then SIPp gives up.
_RINGS_MS: Final = 300
_RECORD_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What each side received, and the record that was kept."""

    by_caller: list[str]
    by_callee: list[str]
    heard_by_caller: int
    heard_by_callee: int
    record: dict[str, Any]


def place_call(ready: Ready, *, quiet: bool) -> Seen:
    """A calls X. Raise Unavailable when the call fails, ConfigError when SIPp is missing."""
    if shutil.which("sipp") is None:
        raise ConfigError("sipp is not installed; run scripts/setup")
    if not quiet:
        note(f"A dials {ready.binding['x']} …")
    with remote(ready.config, None, ready.api_key) as api:
        before = {one["id"] for one in api.calls(100)}
    folder = Path(tempfile.mkdtemp(prefix="qibai-demo-"))
    caller, callee = Phone(), Phone()
    agents: list[sipp.Agent] = []
    phone = ("127.0.0.1", ready.peer.port)
    try:
        answers = sipp.Scenario(CALLEE, callee.port).expect_request("INVITE", first=True)
        answers.reply(180).pause(_RINGS_MS).reply(200, sdp=True, retrans=True).expect_request("ACK")
        answers.expect_request("BYE").reply(200)
        agents.append(sipp.run(answers, folder, "callee", local=phone))
        wait_for(lambda: listening(phone), "B's telephone")
        dials = sipp.Scenario(CALLER, caller.port).invite(ready.binding["x"]).expect(100, optional=True)
        dials.expect(180, optional=True).expect(200).ack().pause(FRAMES * 20 + 500).request("BYE").expect(200)
        voice = ready.config.voice
        here = ("127.0.0.1", free_port("127.0.0.1"))
        agents.append(sipp.run(dials, folder, "caller", local=here, remote=(voice.host, voice.udp_port)))
        _talk(agents, caller, callee)
        for agent in reversed(agents):
            agent.wait()
        seen_by_callee, seen_by_caller = (agent.received for agent in agents)
    finally:
        for agent in agents:
            agent.stop()
        caller.close()
        callee.close()
        shutil.rmtree(folder)
    record = _record(ready, before)
    return Seen(seen_by_caller, seen_by_callee, caller.heard, callee.heard, record)


def _talk(agents: list[sipp.Agent], caller: Phone, callee: Phone) -> None:
    """Once the call stands, both talk at once for two seconds."""
    deadline = time.monotonic() + 15
    while not (answer := _body(agents[1], "SIP/2.0 200")):
        if time.monotonic() > deadline or agents[1].process.poll() is not None:
            raise Unavailable("the demo's call was not answered; see `qibai doctor`")
        time.sleep(0.05)
    threads = [
        threading.Thread(target=caller.talk, args=(answer, FRAMES)),
        threading.Thread(target=callee.talk, args=(_body(agents[0], "INVITE "), FRAMES)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _body(agent: sipp.Agent, start: str) -> str:
    return next((one for one in agent.received if one.startswith(start) and "m=audio" in one), "")


def _record(ready: Ready, before: set[str]) -> dict[str, Any]:
    """The call's record, once the recorder has written its end."""
    deadline = time.monotonic() + _RECORD_TIMEOUT_S
    with remote(ready.config, None, ready.api_key) as api:
        while time.monotonic() < deadline:
            for one in api.calls(100):
                if one["id"] not in before and one.get("ended_at"):
                    return one
            time.sleep(0.1)
    raise Unavailable("the call was made, but its record did not appear; see `qibai doctor`")
