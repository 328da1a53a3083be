"""Kill -9 of the gateway, of Kamailio and of the database under messages by SIP: what was taken is delivered.

A submit whose answer was not read when something died is sent again, looking just as before: the receiver
may then get it twice, and only then.
"""

import os
import signal
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import Cli
from up_tools import platform_with_peers, tenant_key

from qibai.client import BindRequest, Client
from qibai.messaging.sip import WINDOW
from qibai.testing.platform import wait_for
from voice_tools import CALLEE_AT, CALLER_AT, A, B

pytestmark = pytest.mark.voice

MESSAGES = 600
PACE_S = 0.005  # 200 a second
SETTINGS = {
    "QIBAI_VOICE_PROBE_INTERVAL_S": "0",
    "QIBAI_MESSAGING_PAIR_PER_MINUTE": "0",
    "QIBAI_MESSAGING_NUMBER_PER_MINUTE": "0",
}


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    with platform_with_peers(tmp_path, **SETTINGS) as made:
        made.start()
        yield made


class Endpoint(threading.Thread):
    """One UDP socket that hands on what comes in."""

    def __init__(self, at: tuple[str, int]) -> None:
        super().__init__()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind(at)

    def run(self) -> None:
        while True:
            data, sender = self.socket.recvfrom(65_536)
            if data == b"END":
                return
            self.take(data.decode(), sender)

    def take(self, text: str, sender: tuple[str, int]) -> None:
        raise NotImplementedError

    def end(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"END", self.socket.getsockname())
        self.join()
        self.socket.close()


class Receiver(Endpoint):
    """B's carrier: takes everything, and keeps which transactions each text came in."""

    def __init__(self, at: tuple[str, int]) -> None:
        super().__init__(at)
        self.got: dict[str, dict[str, str]] = defaultdict(dict)  #: text → branch → Call-ID

    def take(self, text: str, sender: tuple[str, int]) -> None:
        head, _, body = text.partition("\r\n\r\n")
        lines = [line for line in head.split("\r\n") if line.split(":")[0] in ("Via", "From", "To", "CSeq")]
        call_id = next(line for line in head.split("\r\n") if line.startswith("Call-ID:"))
        self.got[body][lines[0]] = call_id
        to = [f"{line};tag=b" if line.startswith("To:") else line for line in lines]
        answer = ["SIP/2.0 200 OK", *to, call_id, "Content-Length: 0", "", ""]
        self.socket.sendto("\r\n".join(answer).encode(), sender)


class Sender(Endpoint):
    """A's carrier: sends each text as a SIP client does over UDP, and keeps the answers."""

    def __init__(self, at: tuple[str, int], to: tuple[str, int], called: str) -> None:
        super().__init__(at)
        self._to, self._called = to, called
        self._sent: dict[str, bytes] = {}
        self.told: dict[str, int] = {}

    def take(self, text: str, sender: tuple[str, int]) -> None:
        call_id = next(line for line in text.split("\r\n") if line.startswith("Call-ID: "))
        self.told[call_id.removeprefix("Call-ID: ")] = int(text.split(" ", 2)[1])

    def try_one(self) -> int:
        """The answer to one more message."""
        name = f"n{len(self.told)}"
        self.send(name)
        wait_for(lambda: name in self.told, "an answer", 30)
        return self.told[name]

    def all_answered(self) -> bool:
        """Whether each text has its answer. Each that has none goes out again (RFC 3261 17.1.2)."""
        waiting = [data for name, data in self._sent.items() if name not in self.told]
        for data in waiting:
            self.socket.sendto(data, self._to)
            time.sleep(PACE_S)
        return not waiting

    def send(self, name: str) -> None:
        host, port = self.socket.getsockname()
        text = (
            f"MESSAGE sip:{self._called}@{self._to[0]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{name}\r\nFrom: <sip:{A.e164}@{host}>;tag=a\r\n"
            f"To: <sip:{self._called}@{self._to[0]}>\r\nCall-ID: {name}\r\nCSeq: 1 MESSAGE\r\n"
            f"Max-Forwards: 70\r\nContent-Type: text/plain\r\nContent-Length: {len(name)}\r\n\r\n{name}"
        )
        self._sent[name] = text.encode()
        self.socket.sendto(self._sent[name], self._to)


@pytest.mark.parametrize("victim", ["gateway", "kamailio", "postgres"])
def test_what_was_taken_is_delivered(cli: Cli, victim: str) -> None:
    voice = cli.config.voice
    with Client(f"http://127.0.0.1:{cli.config.api.port}", tenant_key(cli)) as client:
        binding = client.bind(BindRequest(mode="AXB", a=A.e164, b=B.e164, order_id="o1"))
        assert binding.x is not None
        receiver = Receiver((CALLEE_AT, voice.peers[0].port))
        sender = Sender((CALLER_AT, 0), (voice.host, voice.udp_port), binding.x)
        receiver.start()
        sender.start()
        try:
            for count in range(MESSAGES):
                if count == MESSAGES // 2:
                    os.kill(cli.parts()[victim]["pid"], signal.SIGKILL)
                sender.send(f"m{count}")
                time.sleep(PACE_S)
            wait_for(lambda: cli.parts()[victim]["restarts"] > 0 and cli.all_ready(), "the restart", 60)
            wait_for(lambda: sender.try_one() == 202, "a message after it", 60)
            wait_for(sender.all_answered, "all answers", 60)

            def records() -> list[str]:
                return [one.state for one in client.messages(binding=binding.id)]

            wait_for(lambda: set(records()) == {"delivered"}, "all ends", 60)
        finally:
            sender.end()
            receiver.end()
        taken = {name for name, status in sender.told.items() if status == 202}
        kept = len(records())
    assert len(taken) > MESSAGES // 3
    assert taken <= set(receiver.got), "each that was taken arrives"
    ids = {call_id for calls in receiver.got.values() for call_id in calls.values()}
    assert len(receiver.got) == len(ids) == kept, "one message, one record"
    again = {text: calls for text, calls in receiver.got.items() if len(calls) > 1}
    assert len(again) <= WINDOW
    assert all(len(calls) == 2 and len(set(calls.values())) == 1 for calls in again.values())
