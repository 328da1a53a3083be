"""The message: A writes to X and tells its own number in the text, as people do; B gets it starred."""

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qibai.cli.demo.prepare import CALLEE, CALLER, Ready
from qibai.cli.output import note
from qibai.cli.remote import remote
from qibai.core.errors import Unavailable
from qibai.testing import sipp
from qibai.testing.platform import free_port, listening, wait_for

TEXT: Final = f"At the door, please call {CALLER[3:6]} {CALLER[6:10]} {CALLER[10:]}"
_RECORD_TIMEOUT_S: Final = 15.0
_FINAL: Final = ("delivered", "expired", "rejected", "unknown")


@dataclass(frozen=True, slots=True)
class SeenMessage:
    """What each side's phone got, and the record that was kept."""

    by_sender: list[str]
    by_receiver: list[str]
    record: dict[str, Any]


def send_message(ready: Ready, *, quiet: bool) -> SeenMessage:
    """A writes to X by SIP MESSAGE. Raise Unavailable when B does not get it."""
    if not quiet:
        note(f"A writes to {ready.binding['x']} …")
    folder = Path(tempfile.mkdtemp(prefix="qibai-demo-"))
    agents: list[sipp.Agent] = []
    phone = ("127.0.0.1", ready.peer.port)
    try:
        gets = sipp.Scenario(CALLEE).expect_request("MESSAGE", first=True).reply(200)
        agents.append(sipp.run(gets, folder, "receiver", local=phone))
        wait_for(lambda: listening(phone), "B's telephone")
        writes = sipp.Scenario(CALLER).message(ready.binding["x"], TEXT).expect(202)
        voice = ready.config.voice
        here = ("127.0.0.1", free_port("127.0.0.1"))
        agents.append(sipp.run(writes, folder, "sender", local=here, remote=(voice.host, voice.udp_port)))
        for agent in reversed(agents):
            agent.wait()
        received, answered = (agent.received for agent in agents)
    finally:
        for agent in agents:
            agent.stop()
        shutil.rmtree(folder)
    return SeenMessage(answered, received, _record(ready))


def _record(ready: Ready) -> dict[str, Any]:
    """The message's record, once it is final."""
    deadline = time.monotonic() + _RECORD_TIMEOUT_S
    with remote(ready.config, None, ready.api_key) as api:
        while time.monotonic() < deadline:
            for one in api.messages(1, binding=ready.binding["id"]):
                if one["state"] in _FINAL:
                    return one
            time.sleep(0.1)
    raise Unavailable("the message was sent, but its record did not become final; see `qibai doctor`")
