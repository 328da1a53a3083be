"""The recorder ends calls: it speaks SIP with a peer on a real socket, and closes what nobody saw end."""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from qibai.core.events import CallEvent, CallEventKind
from qibai.records.keeper import SESSION_GRACE_S
from qibai.store import calls
from qibai.store.keys import Keyring, binding_aad
from qibai.store.spool import SpoolWriter
from qibai.testing.ports import free_port
from recorder_tools import CODE, RecorderProcess, SetClock, answered_call, wait_for


class SipAnswerer:
    """Answers each BYE with 200, but the first transmission of each: that one is lost."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", free_port("127.0.0.1")))
        self.port: int = self._socket.getsockname()[1]
        self.seen: dict[str, int] = {}  #: request URI → how often
        self.requests: list[str] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            data, source = self._socket.recvfrom(65_535)
            if not data:
                return
            head, *lines = data.decode().split("\r\n")
            self.requests.append(data.decode())
            uri = head.split(" ")[1]
            self.seen[uri] = self.seen.get(uri, 0) + 1
            if self.seen[uri] > 1:
                kept = [line for line in lines if line.startswith(("Via", "From", "To", "Call-ID", "CSeq"))]
                reply = "\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""])
                self._socket.sendto(reply.encode(), source)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()


@pytest.fixture
def answerer() -> Iterator[SipAnswerer]:
    made = SipAnswerer()
    yield made
    made.close()


def _legs(keyring: Keyring, call_id: int) -> bytes:
    def leg(side: str) -> dict[str, Any]:
        return {
            "uri": f"sip:{side}-{call_id}@127.0.0.1",
            "from": f"<sip:{side}@here>;tag=1",
            "to": "<sip:other@there>;tag=2",
            "call_id": f"{side}-{call_id}",
            "cseq": 2_147_000_000,
        }

    text = msgspec.json.encode({"caller": leg("caller"), "callee": leg("callee")}).decode()
    return keyring.seal(text, binding_aad(CODE, call_id))


def _record(dsn: str, call_id: int) -> tuple[Any, ...] | None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        return conn.execute(
            "SELECT reason, ended_by, end_seen FROM call WHERE id = %s AND ended_at IS NOT NULL", [call_id]
        ).fetchone()


def _duration_ms(dsn: str, call_id: int) -> int:
    async def read() -> int | None:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
            return (await calls.get_call(conn, 1, CODE, call_id)).duration_ms

    found = asyncio.run(read())
    assert found is not None
    return found


def _order(dsn: str, call_id: int) -> None:
    async def order() -> None:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
            await calls.order_termination(conn, 1, CODE, call_id)

    asyncio.run(order())


def _orders_left(dsn: str) -> int:
    with psycopg.connect(dsn, autocommit=True) as conn:
        found: Any = conn.execute("SELECT count(*) FROM call_order WHERE done_at IS NULL").fetchone()
    return int(found[0])


def test_over_long_silent_and_ordered_calls_get_two_byes_each(
    tmp_path: Path, dsn: str, answerer: SipAnswerer
) -> None:
    keyring = Keyring.load_or_create(tmp_path / "keys.json")
    spool = SpoolWriter(tmp_path / "spool", "voice")
    now = time.time()
    long, silent, running, going_on = 11, 12, 13, 14
    begun = {
        long: answered_call(long, start=now - 3_700, legs=_legs(keyring, long)),
        silent: answered_call(silent, start=now - 200, legs=_legs(keyring, silent), session_expires=90),
        running: answered_call(running, start=now - 10, legs=_legs(keyring, running)),
        going_on: answered_call(going_on, start=now - 200, legs=_legs(keyring, going_on), session_expires=90),
    }
    refresh = CallEvent(
        kind=CallEventKind.REFRESHED, code=CODE, call_id=going_on, at=now - 30, node="n1", session_expires=90
    )
    for event in [*(event for call in begun.values() for event in call[:3]), refresh]:
        spool.append(event)
    env = {"QIBAI_STORE_DSN": dsn, "QIBAI_VOICE_UDP_PORT": str(answerer.port)}
    with RecorderProcess(tmp_path, **env) as recorder:
        assert wait_for(lambda: _record(dsn, long)) == ("max_duration", "platform", True)
        assert wait_for(lambda: _record(dsn, silent)) == ("session_expired", "platform", True)
        recorder.kill()  # the keeper must find running calls again: those in the database, too
        recorder.start()
        _order(dsn, running)
        assert wait_for(lambda: _record(dsn, running)) == ("terminated", "platform", True)
        wait_for(lambda: _orders_left(dsn) == 0)
        wait_for(lambda: answerer.seen.get(f"sip:callee-{running}@127.0.0.1", 0) == 2)
        wait_for(lambda: answerer.seen.get(f"sip:caller-{running}@127.0.0.1", 0) == 2)
        assert recorder.stop() == 0
    assert {f"sip:{side}-{long}@127.0.0.1" for side in ("caller", "callee")} <= answerer.seen.keys()
    assert _record(dsn, going_on) is None
    assert all(
        request.startswith("BYE sip:") and "CSeq: 2147000000 BYE" in request for request in answerer.requests
    )


@pytest.mark.parametrize("step", [3_600.0, -3_600.0])
def test_setting_the_clock_ends_no_call_and_lengthens_none(
    tmp_path: Path, dsn: str, answerer: SipAnswerer, step: float
) -> None:
    keyring = Keyring.load_or_create(tmp_path / "keys.json")
    spool, clock = SpoolWriter(tmp_path / "spool", "voice"), SetClock(tmp_path)
    standing, short = 15, 16
    now = time.time()
    for event in answered_call(standing, start=now, legs=_legs(keyring, standing), session_expires=90)[:3]:
        spool.append(event)
    env = {"QIBAI_STORE_DSN": dsn, "QIBAI_VOICE_UDP_PORT": str(answerer.port)}
    with RecorderProcess(tmp_path, clock, **env) as recorder:
        wait_for(lambda: recorder.stats().get("live") == 1)
        now = time.time() - 2  # it is answered now
        for event in answered_call(short, start=now, legs=_legs(keyring, short), max_call_s=8)[:3]:
            spool.append(event)
        wait_for(lambda: recorder.stats()["live"] == 2)
        clock.set(step)
        wait_for(lambda: abs(recorder.stats()["at"] - time.time() - step) < 60)
        assert wait_for(lambda: _record(dsn, short), 30) == ("max_duration", "platform", True)
        wait_for(lambda: recorder.stats()["live"] == 1)
        assert _record(dsn, standing) is None
        assert 7_000 < _duration_ms(dsn, short) < 60_000
        assert recorder.stop() == 0
        assert recorder.stats()["ended"] == {"max_duration": 1}
    said = (tmp_path / "recorder.log").read_text()
    assert said.count("the clock was set") == 1 and str(round(step)) in said


def test_an_end_that_nobody_saw_is_closed_as_lost_and_mended_by_the_real_one(
    tmp_path: Path, dsn: str
) -> None:
    Keyring.load_or_create(tmp_path / "keys.json")
    spool = SpoolWriter(tmp_path / "spool", "voice")
    call = answered_call(21, start=time.time() - 500)
    for event in call[:2]:
        spool.append(event)
    with RecorderProcess(tmp_path, QIBAI_STORE_DSN=dsn) as recorder:
        assert wait_for(lambda: _record(dsn, 21)) == ("lost", "platform", False)
        for event in call[2:]:
            spool.append(event)
        assert wait_for(lambda: (found := _record(dsn, 21)) and found[2] and found) == (
            "answered",
            "callee",
            True,
        )
        assert recorder.stop() == 0


def test_a_recorder_that_was_halted_reads_what_happened_before_it_ends_a_call(
    tmp_path: Path, dsn: str, answerer: SipAnswerer
) -> None:
    keyring = Keyring.load_or_create(tmp_path / "keys.json")
    spool = SpoolWriter(tmp_path / "spool", "voice")
    legs = _legs(keyring, 41)
    began = time.time()
    limit = SESSION_GRACE_S + 1

    def refreshed(at: float) -> CallEvent:
        kind = CallEventKind.REFRESHED
        return CallEvent(
            kind=kind, code=CODE, call_id=41, at=at, node="n1", legs=legs, session_expires=1, media_id="m"
        )

    for event in answered_call(41, start=began - 60, legs=legs, media_id=None)[:3]:
        spool.append(event)
    spool.append(refreshed(began - limit + 6))  # so its session timer runs out in six seconds
    env = {"QIBAI_STORE_DSN": dsn, "QIBAI_VOICE_UDP_PORT": str(answerer.port), "QIBAI_VOICE_MEDIA": "false"}
    with RecorderProcess(tmp_path, **env) as recorder:
        with psycopg.connect(dsn, autocommit=True) as conn:
            wait_for(lambda: conn.execute("SELECT 1 FROM call WHERE id = 41").fetchone())
        recorder.process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(max(0.0, began + 8 - time.time()))
            spool.append(refreshed(time.time()))
        finally:
            recorder.process.send_signal(signal.SIGCONT)
        time.sleep(4)
        assert answerer.seen == {}
        assert _record(dsn, 41) is None
