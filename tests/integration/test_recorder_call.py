"""A real call through Kamailio, ended by an order: a BYE to both sides, one record that says why."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from qibai.core.events import CallEventKind
from qibai.store import calls
from recorder_tools import RecorderProcess, wait_for
from voice_tools import A, B, answering, bench, calling

pytestmark = pytest.mark.voice


def test_an_order_ends_a_call_on_both_sides(tmp_path: Path, database: Callable[[], str]) -> None:
    with bench(tmp_path, database) as voice:
        env = {"QIBAI_NODE": "test", "QIBAI_VOICE_MEDIA": "true"}
        x = voice.number()
        voice.bind(x, A, B)

        def running() -> tuple[int, int] | None:
            with psycopg.connect(voice.dsn, autocommit=True) as conn:
                return conn.execute(
                    "SELECT code, id FROM call WHERE answered_at IS NOT NULL AND ended_at IS NULL"
                ).fetchone()

        async def order(code: int, id: int) -> None:
            async with await psycopg.AsyncConnection.connect(voice.dsn, autocommit=True) as conn:
                await calls.order_termination(conn, 1, code, id)

        def ended() -> list[tuple[object, ...]]:
            with psycopg.connect(voice.dsn, autocommit=True) as conn:
                query = "SELECT reason, ended_by, end_seen, called FROM call WHERE ended_by = 'platform'"
                return conn.execute(query).fetchall()

        def end() -> None:
            voice.wait_set_up()
            asyncio.run(order(*wait_for(running)))

        with RecorderProcess(voice.platform.config.home, **env) as recorder:
            voice.call(
                calling(A, x).expect_request("BYE").reply(200),
                answering(B).expect_request("BYE").reply(200),
                meanwhile=end,
            )
            expected = [("terminated", "platform", True, x.serial)]
            # the ends that our own BYEs bring about are in the spool, and do not replace it
            wait_for(lambda: len(voice.events(CallEventKind.ENDED, x)) == 3)
            wait_for(lambda: ended() == expected)
            wait_for(lambda: recorder.stats().get("backlog_bytes") == 0)
            assert ended() == expected
            assert recorder.stop() == 0
        with psycopg.connect(voice.dsn, autocommit=True) as conn:
            assert conn.execute("SELECT count(*) FROM call").fetchone() == (1,)
