"""Kamailio dies while a telephone rings: what it answers afterwards belongs to no transaction any more."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from test_voice_octets import _Call

from qibai.store import calls
from qibai.testing.platform import free_port
from raw_sip import contact, header, raw_agent
from recorder_tools import RecorderProcess, wait_for
from voice_tools import CALLER_AT, CODE, A, B, Bench, bench

pytestmark = pytest.mark.voice


def _record(voice: Bench) -> calls.CallRecord | None:
    async def ask() -> list[calls.CallRecord]:
        async with await psycopg.AsyncConnection.connect(voice.dsn) as conn:
            return await calls.list_calls(conn, 1, live=False)

    return next(iter(asyncio.run(ask())), None)


def test_a_call_whose_answer_nobody_got_was_not_answered(tmp_path: Path, database: Callable[[], str]) -> None:
    with bench(tmp_path, database) as voice:
        config = voice.platform.config
        x = voice.number()
        voice.bind(x, A, B)
        env = {"QIBAI_NODE": "test", "QIBAI_VOICE_MEDIA": "true", "QIBAI_STORE_DSN": config.store.dsn}
        near_at = (CALLER_AT, free_port(CALLER_AT))
        with (
            RecorderProcess(config.home, **env),
            raw_agent(near_at, voice.here) as near,
            raw_agent(voice.callee, voice.here) as far,
        ):
            call = _Call(voice, near, x)
            call.invite()
            asked = far.take(b"INVITE ")
            far.reply(asked, b"180 Ringing")
            near.take(b"SIP/2.0 180")
            voice.platform.kill_kamailio()
            voice.platform.start_kamailio()
            far.reply(asked, b"200 OK", body=far.sdp)
            far.request(
                b"BYE",
                contact(asked),
                call_id=header(asked, b"Call-ID"),
                from_=header(asked, b"To") + b";tag=callee",
                to=header(asked, b"From"),
            )
            near.reply(near.take(b"BYE "), b"200 OK", contact=False)
            far.take(b"SIP/2.0 200")
            record = wait_for(lambda: _record(voice))
        assert record.code == CODE.value
        assert (record.answered_at, record.reason, record.ended_by) == (None, "no_answer", "callee")
