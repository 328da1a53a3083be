"""Ending calls: those that are over-long, silent, without media, ordered to end, or lost."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
import structlog

from qibai.config import Config
from qibai.core.calls import MICROSECONDS, PLATFORM, CallRow
from qibai.core.errors import QibaiError
from qibai.core.events import CallEvent, CallEventKind, EndReason
from qibai.core.legs import Legs, read_leg, read_legs
from qibai.records.hangup import Hangup
from qibai.records.keeper import Keeper
from qibai.records.pump import Pump
from qibai.records.rtpengine import MediaClient
from qibai.store import calls, dsn
from qibai.store.connection import Connection
from qibai.store.connections import heard, listening
from qibai.store.failures import DriverError
from qibai.store.keys import Keyring, binding_aad
from qibai.store.loss_counts import LossCounts
from qibai.store.spool import SpoolWriter

TICK_S: Final = 0.5
SET_S: Final = 1.0  #: a clock that is off by so much from one tick to the next was set
ORDERS_S: Final = 1.0
ANSWER_S: Final = 0.2
MEDIA_PATIENCE_S: Final = 2.0
MEDIA_AT_ONCE: Final = 16

#: The Q.850 cause on record for an end that the platform brought about.
CAUSES: Final[dict[str, int]] = {
    EndReason.MAX_DURATION: 102,
    EndReason.SESSION_EXPIRED: 102,
    EndReason.MEDIA_TIMEOUT: 41,
    EndReason.TERMINATED: 16,
    EndReason.MEDIA_UNAVAILABLE: 41,
}

_Legs = TypeVar("_Legs")
_log = structlog.get_logger("recorder")


class Ender:
    """Ends calls of this node; acts only while the pump has let the keeper hear all events so far."""

    def __init__(
        self, config: Config, keyring: Keyring, keeper: Keeper, losses: LossCounts, pump: Pump
    ) -> None:
        self._config = config
        self._keyring = keyring
        self._keeper = keeper
        self._pump = pump
        self._clock = pump.clock
        self._loaded = False  #: True if the keeper has the open calls of the database
        self._spool = SpoolWriter(config.spool_dir, "recorder", lambda: losses)
        self._hangup = Hangup(config.voice, keyring)
        self._tasks: set[asyncio.Task[None]] = set()
        self.ended: dict[str, int] = {}  #: calls ended, by reason

    async def run(self, stop: asyncio.Event) -> None:
        """Look after calls until ``stop``; BYEs that are under way then are not waited for."""
        loops = [asyncio.create_task(self._watch_orders()), asyncio.create_task(self._watch_time())]
        if self._config.voice.enabled and self._config.voice.media:
            loops.append(asyncio.create_task(self._watch_media()))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([*loops, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in (*loops, *self._tasks, stopped):
            task.cancel()
        results = await asyncio.gather(*loops, return_exceptions=True)
        self._hangup.close()
        self._spool.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    @property
    def _may_act(self) -> bool:
        return self._loaded and self._pump.caught_up

    async def _watch_time(self) -> None:
        while True:
            set_by = self._clock.set_by()
            if abs(set_by) >= SET_S:
                _log.warning("the clock was set", seconds=round(set_by))
            if self._may_act:
                for due in self._keeper.due(self._clock.now()):
                    self._end(due.row, due.reason)
            late, self._keeper.late = self._keeper.late, []
            for event in late:
                self._start(self._dismiss(event))
            await asyncio.sleep(TICK_S)

    async def _watch_orders(self) -> None:
        """Orders are notified, and looked for each second too, as a notice may be missed."""
        while True:
            try:
                async with listening(
                    dsn(self._config),
                    calls.CHANNEL,
                    application="qibai recorder orders",
                    connect_timeout_s=max(2, self._config.store.connect_timeout_s),
                ) as conn:
                    await self._load(conn)
                    while True:
                        await self._carry_out(conn)
                        await heard(conn, ORDERS_S)
            except (QibaiError, DriverError) as exc:
                _log.warning("orders to end calls cannot be read", error=type(exc).__name__)
                await asyncio.sleep(ORDERS_S)

    async def _load(self, conn: Connection) -> None:
        """Tell the keeper of open calls on record: those whose events were stored before we started.

        Calls that it knows are not replaced later: its times are better if the clock was set meanwhile.
        """
        for call in await calls.open_calls(conn, self._config.node):
            if not self._loaded or not self._keeper.knows((call.code, call.id)):
                self._keeper.add(_row(call), self._clock.now(), wall=time.time())
        self._loaded = True

    async def _carry_out(self, conn: Connection) -> None:
        for key in await calls.pending_orders(conn, self._config.node):
            if not self._pump.caught_up:
                return
            if not self._keeper.knows(key):
                await self._load(conn)
            row = self._keeper.claim(key)
            if row is not None:
                self._end(row, EndReason.TERMINATED)
            elif key in self._keeper.live and not self._keeper.is_ending(key):
                continue  # it rings: the order waits for the answer, or for the end
            await calls.order_done(conn, *key)

    async def _watch_media(self) -> None:
        voice = self._config.voice
        client = await MediaClient.open(voice.media_ng_port)
        pause = min(15.0, max(1.0, voice.media_timeout_s / 4))
        try:
            while True:
                await asyncio.sleep(pause)
                found = self._keeper.with_media()
                for start in range(0, len(found), MEDIA_AT_ONCE):
                    part = found[start : start + MEDIA_AT_ONCE]
                    asked = (client.has_media(media_id, voice.media_timeout_s) for _, media_id in part)
                    heard = await asyncio.gather(*asked)
                    for (key, _), has in zip(part, heard, strict=True):
                        now = self._clock.now()
                        gone = self._keeper.media_gone(key, has is False, now, MEDIA_PATIENCE_S)
                        row = self._keeper.claim(key) if gone and self._may_act else None
                        if row is not None:
                            self._end(row, EndReason.MEDIA_TIMEOUT)
                    if None in heard:
                        break  # rtpengine is away: what it does not say proves nothing
        finally:
            client.close()

    def _end(self, row: CallRow, reason: str) -> None:
        legs = None if reason == EndReason.LOST else self._open(row.code, row.id, row.legs, read_legs)
        self._start(self._end_with(row, EndReason.LOST if legs is None else reason, legs))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dismiss(self, event: CallEvent) -> None:
        """The caller has heard that nobody answered: the callee must not be left with an open line."""
        leg = self._open(event.code, event.call_id, event.legs, read_leg)
        if leg is not None and not await self._hangup.dismiss(leg):
            _log.error("nobody took the BYE of a late answer", code=event.code, call=event.call_id)
        row = self._keeper.claim((event.code, event.call_id)) if event.reason else None
        if row is not None:  # a change of the running call was answered in a way that nobody can use
            self._end(row, event.reason or "")

    async def _end_with(self, row: CallRow, reason: str, legs: Legs | None) -> None:
        """Send the BYEs, and write an end of the time before: it wins over those that the BYEs bring about.

        Sent first and written then: should we die in between, the call is not left running with its record
        closed. Written without waiting for long: Kamailio may be away, and is then asked again.
        """
        at, now, key = time.time(), self._clock.now(), row.key
        sending = None
        if legs is not None:
            sending = asyncio.create_task(self._hangup.end(legs))
            await asyncio.wait({sending}, timeout=ANSWER_S)
        self._spool.append(
            CallEvent(
                kind=CallEventKind.ENDED,
                code=key[0],
                call_id=key[1],
                at=at,
                node=self._config.node,
                reason=reason,
                ended_by=PLATFORM,
                q850=CAUSES.get(reason),
                talked_ms=None if row.answered_at is None else round(now * 1000 - row.answered_at / 1000),
            )
        )
        self.ended[reason] = self.ended.get(reason, 0) + 1
        _log.info("call ended", code=key[0], call=key[1], reason=reason)
        if sending is None or legs is None:
            return
        if not await sending:
            _log.error("nobody took the BYE of a call", code=key[0], call=key[1])

    def _open(self, code: int, id: int, sealed: bytes | None, read: Callable[[str], _Legs]) -> _Legs | None:
        if sealed is None:
            return None
        try:
            return read(self._keyring.open(sealed, binding_aad(code, id)))
        except (QibaiError, msgspec.MsgspecError) as exc:
            _log.error("a call cannot be ended", code=code, call=id, error=type(exc).__name__)
            return None


def _row(call: calls.OpenCall) -> CallRow:
    def microseconds(at: datetime | None) -> int | None:
        return None if at is None else round(at.timestamp() * MICROSECONDS)

    return CallRow(
        code=call.code,
        id=call.id,
        node=call.node,
        started_at=round(call.started_at.timestamp() * MICROSECONDS),
        ringing_at=microseconds(call.ringing_at),
        answered_at=microseconds(call.answered_at),
        refreshed_at=microseconds(call.refreshed_at),
        session_expires=call.session_expires or 0,
        max_call_s=call.max_call_s,
        media_id=call.media_id,
        legs=call.legs,
        caller_peer=call.caller_peer,
        callee_peer=call.callee_peer,
        gave_up=() if call.gave_up is None else tuple(call.gave_up.split("\n")),
    )
