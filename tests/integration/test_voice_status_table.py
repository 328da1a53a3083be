"""If a callee refuses a call, the caller and the record get what the page of SIP tables says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qibai.cli.sippage import finals, heard
from qibai.core.sip import phrase
from qibai.testing.platform import free_port
from qibai.voice.ledger import failure_of
from raw_sip import RawAgent, header, raw_agent
from voice_tools import CALLER_AT, A, B, Bench, bench

pytestmark = pytest.mark.voice


def test_each_refusal_of_a_callee_is_as_the_table_says(tmp_path: Path, database: Callable[[], str]) -> None:
    with bench(tmp_path, database) as voice, raw_agent(voice.callee, voice.here) as far:
        for status in (302, *finals(), 499, 599, 699):
            with raw_agent((CALLER_AT, free_port(CALLER_AT)), voice.here) as near:
                assert refused(voice, near, far, status) == expected(status), status


def expected(status: int) -> tuple[bytes, str, int]:
    to_caller = heard(status)
    return f"SIP/2.0 {to_caller} {phrase(to_caller)}".encode(), *failure_of(status)


def refused(voice: Bench, near: RawAgent, far: RawAgent, status: int) -> tuple[bytes, str | None, int | None]:
    """The status line that the caller gets, and the record's reason and cause."""
    x = voice.number()
    voice.bind(x, A, B)
    near.request(
        b"INVITE",
        f"sip:{x}@{voice.here[0]}".encode(),
        from_=b"<sip:%b@test>;tag=near" % A.national.encode(),
        headers=(b"Content-Type: application/sdp",),
        body=near.sdp,
    )
    far.reply(first_invite(far), b"%d Whatever %b" % (status, B.national.encode()))
    near.take(b"SIP/2.0 100")
    answer = near.take(b"SIP/2.0 ")
    assert b"\r\nRetry-After:" not in answer
    (end,) = voice.ends(x)
    return answer.partition(b"\r\n")[0], end.reason, end.q850


def first_invite(far: RawAgent) -> bytes:
    """The next INVITE of a call that was not seen before; Kamailio may have sent one twice."""
    seen = {header(text, b"Call-ID") for text in far.seen}
    while header(text := far.take(b"INVITE "), b"Call-ID") in seen:
        pass
    return text
