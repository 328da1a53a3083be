"""One connection: PDUs in, PDUs out, requests matched with answers, life watched. Knows no message.

Nothing that a peer sends may stop the others or fill the memory: what is malformed is answered or ends this
connection, what is too much is refused or left in the peer's own buffers.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import ClassVar, Final, Protocol, cast

import structlog

#: Requests of the peer that wait for us at a time, and their octets; more are answered "later".
MAX_WAITING: Final = 1_000
MAX_WAITING_OCTETS: Final = 4 << 20
MAX_LATE: Final = 10_000  #: answers that are waited for on one connection after their time
PATIENCE: Final = 5.0  #: times ``answer_s``: how long a late answer is waited for before anything is done
_MAX_SEQUENCE: Final = 0x7FFF_FFFF
_CLOSE_S: Final = 5.0  #: to take what was written, then the connection is cut

#: What tells an answer from a request, in SMPP's command_id and in CMPP's Command_Id.
RESPONSE: Final = 0x8000_0000

log = structlog.get_logger(__name__)


class BadPdu(Exception):
    """A PDU that cannot be read, or that we refuse; ``status`` is the protocol's answer."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class NotSent(Exception):
    """The request did not go out: the connection is closing."""


class Lost(Exception):
    """The request went out, and no answer will come on this connection, or none came in time.

    ``again_s``: the connection lives, and an answer may come within so many more seconds, or later.
    """

    def __init__(self, reason: str, again_s: float | None = None) -> None:
        super().__init__(reason)
        self.again_s = again_s


class Owner(Protocol):
    """What a session needs of its link or server."""

    def opened(self, session: "Session") -> None:
        """The connection stands; nothing was read yet."""

    def answer(self, session: "Session", command: int, frame: bytes) -> Awaitable[bytes]:
        """The whole answer to a request, with its sequence number. BadPdu's status is answered as well."""

    def gone(self, session: "Session") -> None:
        """The connection is no more."""


class Wire(Protocol):
    """How a protocol writes what every session says. A frame is a whole PDU, header included."""

    probe: bytes  #: asks whether the peer is there
    leave: bytes  #: ends the session in order
    unanswered: frozenset[int]  #: commands of requests that have no answer

    def frames(self, buffer: bytearray) -> Iterator[bytes]:
        """Take whole PDUs off the front. Raise BadPdu where what follows cannot be trusted to be one."""

    def head(self, frame: bytes) -> tuple[int, int]:
        """Its command and sequence number."""

    def numbered(self, frame: bytes, sequence: int) -> bytes:
        """The same PDU with this sequence number."""

    def echo(self, frame: bytes) -> bytes:
        """The answer to ``probe`` or ``leave``."""

    def refusal(self, frame: bytes, status: int) -> bytes:
        """The answer to a request that failed so; empty: none."""

    def later(self, frame: bytes) -> bytes:
        """The answer to one request too many."""

    def failed(self, frame: bytes) -> bytes:
        """The answer when it is our fault."""

    def garbage(self, bad: BadPdu) -> bytes:
        """The last words to a peer whose octets are no PDU; empty: none."""


class Session(asyncio.Protocol):
    """``name`` is for logs."""

    wire: Wire
    probes: ClassVar[int] = 1  #: without an answer to so many in a row the connection is dead
    patient: ClassVar[bool] = False  #: go on after a request without an answer; its protocol knows what then

    def __init__(self, owner: Owner, *, name: str, answer_s: float, enquire_s: float) -> None:
        self.owner = owner
        self.name = name
        self.answer_s = answer_s
        self.enquire_s = enquire_s
        self.peer = ""  #: the address it comes from
        self.closing = False  #: takes no more requests of ours
        self.reason = ""  #: why it ended
        self.closed = asyncio.Event()
        self._probe, self._leave = (self.wire.head(frame)[0] for frame in (self.wire.probe, self.wire.leave))
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._writable = asyncio.Event()
        self._writable.set()
        self._sequence = 0
        #: by sequence number: the command that was sent, and who waits
        self._answers: dict[int, tuple[int, asyncio.Future[bytes]]] = {}
        #: by sequence number: requests whose answers are late, and who takes them
        self._late: OrderedDict[int, tuple[int, Callable[[bytes], None]]] = OrderedDict()
        self._answered = self._loop.time()  #: when the peer last answered anything but a probe
        self._tasks: set[asyncio.Task[None]] = set()
        self._octets = 0
        self._heard = self._loop.time()
        self._watch: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None

    @property
    def in_flight(self) -> int:
        return len(self._answers)

    # -- asyncio.Protocol --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if peer else ""
        self._heard = self._loop.time()
        self.owner.opened(self)
        self._watch = self._loop.create_task(self._watch_life())

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if self._transport is None or self._transport.is_closing():
            return
        self._buffer += data
        try:
            for frame in self.wire.frames(self._buffer):
                self._frame(frame)
        except BadPdu as bad:  # what follows cannot be trusted to be a PDU
            self._buffer.clear()
            self.write(self.wire.garbage(bad))
            self.close("garbage instead of a PDU")

    def pause_writing(self) -> None:
        """The peer does not read: neither do we, so that no answers pile up."""
        self._writable.clear()
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable.set()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self.reason = self.reason or ("connection lost" if exc else "closed by the peer")
        self._transport = None
        self._writable.set()
        if self._watch is not None:
            self._watch.cancel()
        for _command, future in self._answers.values():
            if not future.done():
                future.set_exception(Lost(self.reason))
        self.closed.set()
        self.owner.gone(self)

    # -- reading -----------------------------------------------------------------------------

    def _frame(self, frame: bytes) -> None:
        command, sequence = self.wire.head(frame)
        if command & RESPONSE:
            # The waiting submit runs before any task that a later PDU makes: the loop keeps the order.
            asked, future = self._answers.get(sequence, (0, None))
            if future is not None and command in (asked | RESPONSE, RESPONSE) and not future.done():
                future.set_result(frame)
                self._answered = self._heard if asked != self._probe else self._answered
            elif future is None and sequence in self._late:
                self._take_late(command, sequence, frame)
        elif command == self._probe:
            self.write(self.wire.echo(frame))
        elif command == self._leave:
            self._start(self._unbound(frame), len(frame))
        elif command in self.wire.unanswered:
            log.info("request_ignored", link=self.name, command=command)
        elif len(self._tasks) >= MAX_WAITING or self._octets >= MAX_WAITING_OCTETS:
            self.write(self.wire.later(frame))
        else:
            self._start(self._answer(command, frame), len(frame))

    def _start(self, work: Awaitable[None], octets: int) -> None:
        async def run() -> None:
            try:
                await work
            finally:
                self._octets -= octets

        self._octets += octets
        task = self._loop.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, command: int, frame: bytes) -> None:
        try:
            answer = await self.owner.answer(self, command, frame)
        except BadPdu as bad:
            answer = self.wire.refusal(frame, bad.status)
        except Exception:
            log.exception("answer_failed", link=self.name)
            answer = self.wire.failed(frame)
        self.write(answer)

    async def _unbound(self, frame: bytes) -> None:
        """The peer leaves: what it has sent is answered first."""
        self.closing = True
        others = self._tasks - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=self.answer_s)
        self.write(self.wire.echo(frame))
        self.close("unbound by the peer")

    # -- writing -----------------------------------------------------------------------------

    def write(self, frame: bytes) -> None:
        """Soon, together with what else is written in this turn of the loop."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frame)

    def _flush(self) -> None:
        out, self._out = b"".join(self._out), []
        if out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(out)

    async def request(
        self,
        frame: bytes,
        leaving: Callable[[], None] | None = None,
        late: Callable[[bytes], None] | None = None,
    ) -> bytes:
        """Send and return the answer. Raise NotSent or Lost.

        ``leaving`` is called before the request is written. ``late`` takes an answer that comes after Lost
        was raised, for as long as the connection lives. An impatient connection is left for a new one when
        its peer answers nothing at all for ``PATIENCE`` times as long as an answer may take.
        """
        await self._writable.wait()
        if self.closing:
            raise NotSent
        if leaving is not None:
            leaving()
        sent = self._loop.time()
        try:
            return await self._request(frame, late)
        except Lost as lost:
            if not self.closing and lost.again_s is not None and not self.patient:
                self._loop.call_later(lost.again_s, self._leave_the_mute, sent)
            raise

    def _leave_the_mute(self, since: float) -> None:
        if not self.closing and self._answered < since:
            self.closing, self.reason = True, "no answer in time"
            self._leaving = self._loop.create_task(self._leave_in_order())

    def _take_late(self, command: int, sequence: int, frame: bytes) -> None:
        asked, late = self._late[sequence]
        if command in (asked | RESPONSE, RESPONSE):
            del self._late[sequence]
            self._answered = self._heard
            log.info("late_answer", link=self.name)
            late(frame)

    async def _request(self, frame: bytes, late: Callable[[bytes], None] | None = None) -> bytes:
        sequence = self._sequence = self._sequence % _MAX_SEQUENCE + 1
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._answers[sequence] = (self.wire.head(frame)[0], future)
        self.write(self.wire.numbered(frame, sequence))
        try:
            async with asyncio.timeout(self.answer_s):
                return await future
        except TimeoutError:
            if late is None:
                raise Lost("no answer in time") from None
            self._late[sequence] = self.wire.head(frame)[0], late
            if len(self._late) > MAX_LATE:
                self._late.popitem(last=False)
            raise Lost("no answer in time", PATIENCE * self.answer_s) from None
        finally:
            self._answers.pop(sequence, None)

    # -- life --------------------------------------------------------------------------------

    async def _watch_life(self) -> None:
        silent = 0
        while True:
            idle = self._loop.time() - self._heard
            if idle < self.enquire_s:
                silent = 0
                await asyncio.sleep(self.enquire_s - idle)
                continue
            try:
                await self._request(self.wire.probe)
            except Lost:
                silent += 1
                if silent >= self.probes:
                    self.abort("no sign of life")
                    return

    async def unbind(self) -> None:
        """Leave in order: our requests are answered, then unbind, then the peer's requests are answered."""
        if not self.closing:
            self.closing = True
            await self._leave_in_order()
        await self.closed.wait()

    async def _leave_in_order(self) -> None:
        if self._answers:
            await asyncio.wait([future for _, future in self._answers.values()], timeout=self.answer_s)
        if self._transport is not None:
            with suppress(Lost):
                await self._request(self.wire.leave)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.answer_s)
        self.close("unbound")

    def close(self, reason: str) -> None:
        """Write what is waiting, then close; cut the connection where the peer does not take it."""
        self.closing = True
        self.reason = self.reason or reason
        self._flush()
        if self._transport is not None:
            self._transport.close()
            self._loop.call_later(_CLOSE_S, self.abort, reason)

    def abort(self, reason: str) -> None:
        self.closing = True
        self.reason = self.reason or reason
        if self._transport is not None:
            self._transport.abort()
