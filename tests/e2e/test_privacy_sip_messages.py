"""Text messages in SIP: no packet and no log tells a number where it should not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_privacy import leaks_of_call

from message_tools import Gateway, message_bench, outgoing
from qibai.core.numbering import Msisdn
from qibai.core.text import decode
from qibai.messaging.link import Received, Taken
from qibai.testing.capture import Capture
from qibai.testing.leaks import LeakChecker
from qibai.testing.sipp import Scenario
from voice_tools import CALLEE_AT, CALLER_AT, Bench

pytestmark = pytest.mark.voice

A, B = Msisdn("+8615273940618"), Msisdn("+8618640927351")
NOWHERE = "host=127.0.0.1 port=9 dbname=none"
WRAPPED = """From: "{own}" <sip:{own}@home.example>
To: <sip:{x}@home.example>
Subject: {own}
NS: imdn <urn:ietf:params:imdn>
imdn.Message-ID: 34jk324j
imdn.Disposition-Notification: positive-delivery

Content-Type: text/plain

hello"""


@pytest.fixture(params=[False, True], ids=["plain", "CPIM"])
def voice(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    with message_bench(tmp_path, lambda: NOWHERE, sip_cpim=request.param) as made:
        yield made


@pytest.mark.parametrize("kind", ["text/plain", "message/cpim"])
def test_nothing_leaks_in_messages(voice: Bench, tmp_path: Path, kind: str) -> None:
    """From A to B, through agents that tell their number wherever they can."""
    x, y = voice.number(), voice.number()
    config = voice.platform.config
    with (
        Gateway(config) as gateway,
        Capture(tmp_path / "messages.pcap", f"host {CALLER_AT} or host {CALLEE_AT}") as capture,
    ):
        sent: list[Callable[[], object]] = []

        def hand_on(received: Received) -> Taken:
            sent.append(gateway.start(gateway.link.submit(outgoing(decode(received.part), y, B))))
            return Taken(1)

        gateway.mailbox.answer = hand_on
        body = "hello" if kind == "text/plain" else WRAPPED.format(own=A.national, x=x)
        voice.call(
            Scenario(A.national).message(str(x), body, kind=kind).expect(202),
            Scenario(B.national).expect_request("MESSAGE", first=True).reply(200),
            parties=(A, B),
        )
        assert sent[0]() == ""
    assert leaks_of_call(capture.packets, A, B, [x, y]) == []
    assert LeakChecker({"A": A, "B": B}).scan_files([config.log_dir, config.run_dir]) == []
