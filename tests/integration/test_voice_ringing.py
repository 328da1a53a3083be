"""A callee rings for longer than a standing call may be without media."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qibai.testing.platform import free_port
from raw_sip import contact, header, raw_agent
from voice_tools import CALLER_AT, A, B, bench

pytestmark = pytest.mark.voice
_SILENT_S = 2


def test_ringing_after_a_description_may_be_silent(tmp_path: Path, database: Callable[[], str]) -> None:
    """Many networks play the ringing tone at the caller's, and send no sound before the answer."""
    with (
        bench(tmp_path, database, ring_timeout_s=20, media_timeout_s=_SILENT_S) as voice,
        raw_agent((CALLER_AT, free_port(CALLER_AT)), voice.here) as near,
        raw_agent(voice.callee, voice.here) as far,
    ):
        x = voice.number()
        voice.bind(x, A, B)
        uri, from_ = f"sip:{x}@{voice.here[0]}".encode(), b"<sip:%b@test>;tag=near" % A.national.encode()
        described = (b"Content-Type: application/sdp",)
        sent = near.request(b"INVITE", uri, from_=from_, headers=described, body=near.sdp)
        rings = far.take(b"INVITE ")
        far.reply(rings, b"183 Session Progress", body=far.sdp)
        early = near.take(b"SIP/2.0 183")
        time.sleep(_SILENT_S + 3)  # rtpengine looks once a second
        far.reply(rings, b"200 OK", body=far.sdp)
        answer = near.take(b"SIP/2.0 ")
        assert answer.startswith(b"SIP/2.0 200 ")
        assert _audio(answer) == _audio(early)
        call_id, to = header(sent, b"Call-ID"), header(answer, b"To")
        for method, cseq in ((b"ACK", 1), (b"BYE", 2)):
            near.request(method, contact(answer), call_id=call_id, from_=from_, to=to, cseq=cseq)
            request = far.take(method)
        far.reply(request, b"200 OK")
        near.take(b"SIP/2.0 200")
        (end,) = voice.ends(x)
        assert end.reason == "answered"


def _audio(text: bytes) -> bytes:
    (line,) = (line for line in text.split(b"\r\n") if line.startswith(b"m=audio"))
    return line
