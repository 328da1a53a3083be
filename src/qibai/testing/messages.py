"""A peer and a link for tests of the gateway: JSON lines over a real socket, nothing of SMPP or CMPP.

``LoopPeer`` listens, as a carrier's message centre would; a gateway connects to it through ``LoopLink``.
"""

import asyncio
import base64
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from qibai.config import Config, MessageLink
from qibai.core.errors import StoreUnavailable
from qibai.core.messages import MessageState
from qibai.core.text import Concat, Encoding, Part
from qibai.messaging.link import (
    Inbox,
    InDoubt,
    LinkState,
    LinkStatus,
    NotNow,
    Outgoing,
    Receipt,
    Received,
    Rejected,
    Report,
    Taken,
)
from qibai.store.keys import Keyring

ANSWER_S: Final = 10.0
RECONNECT_S: Final = 0.2
_LINE: Final = 1 << 20

Said = dict[str, Any]


class Lost(Exception):
    """The connection broke before the answer."""


class Line:
    """One connection: what either side asks, and the other's answers."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: Callable[[Said], Awaitable[Said]],
    ) -> None:
        self._reader, self._writer, self._answer = reader, writer, answer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Said]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, question: Said) -> Said:
        """The other side's answer. Raise Lost."""
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._write({"n": number, "ask": question})
            return await asyncio.wait_for(future, ANSWER_S)
        except (OSError, TimeoutError) as exc:
            raise Lost from exc
        finally:
            self._waiting.pop(number, None)

    async def run(self) -> None:
        """Until the other side has gone."""
        try:
            while line := await self._reader.readline():
                said = msgspec.json.decode(line)
                if "ask" in said:
                    task = asyncio.create_task(self._reply(said["n"], said["ask"]))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                elif (future := self._waiting.get(said["n"])) is not None and not future.done():
                    future.set_result(said["answer"])
        except (OSError, msgspec.MsgspecError, asyncio.IncompleteReadError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        self._writer.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Lost())

    async def _reply(self, number: int, question: Said) -> None:
        answer = await self._answer(question)
        with contextlib.suppress(ConnectionError):  # they have gone, and will ask again
            self._write({"n": number, "answer": answer})

    def _write(self, said: Said) -> None:
        if self._writer.is_closing():
            raise ConnectionError
        self._writer.write(msgspec.json.encode(said) + b"\n")


class LoopLink:
    """A ``Link`` to a ``LoopPeer``."""

    def __init__(self, config: MessageLink) -> None:
        self._config = config
        self._line: Line | None = None
        self._window = asyncio.Semaphore(config.window)
        self._since = datetime.now(UTC)
        self._idle = asyncio.Event()
        self._in_flight = self._received = self._sent = self._refused = 0

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def can_send(self) -> bool:
        return self._line is not None

    def status(self) -> LinkStatus:
        return LinkStatus(
            name=self.name,
            protocol="loop",
            role="client",
            state=LinkState.UP if self._line else LinkState.CONNECTING,
            since=self._since,
            peer=f"{self._config.host}:{self._config.port}",
            sessions=int(self._line is not None),
            in_flight=self._in_flight,
            window=self._config.window,
            received=self._received,
            sent=self._sent,
            refused=self._refused,
        )

    async def run(self, inbox: Inbox, stop: asyncio.Event) -> None:
        halt = asyncio.create_task(stop.wait())
        while not stop.is_set():
            try:
                reader, writer = await asyncio.open_connection(
                    self._config.host, self._config.port, limit=_LINE
                )
            except OSError:
                await asyncio.wait({halt}, timeout=RECONNECT_S)
                continue
            self._line = Line(reader, writer, lambda said: self._asked(inbox, said))
            self._since = datetime.now(UTC)
            running = asyncio.create_task(self._line.run())
            await asyncio.wait({running, halt}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set() and self._in_flight:
                self._idle.clear()
                await self._idle.wait()
            self._line.close()
            self._line = None
            await running

    async def submit(self, outgoing: Outgoing) -> str:
        async with self._window:
            line = self._line
            if line is None:
                raise NotNow(link_down=True)
            self._in_flight += 1
            try:
                outgoing.leaving()
                answer = await line.ask(
                    {
                        "op": "submit",
                        "source": outgoing.source,
                        "destination": outgoing.destination,
                        "part": write_part(outgoing.part),
                    }
                )
            except Lost:
                raise InDoubt from None
            finally:
                self._in_flight -= 1
                if not self._in_flight:
                    self._idle.set()
        if "later" in answer:
            raise NotNow(answer["later"])
        if "refused" in answer:
            self._refused += 1
            raise Rejected(answer["refused"])
        self._sent += 1
        return str(answer["ref"])

    async def report(self, report: Report) -> None:
        line = self._line
        if line is None:
            raise NotNow(link_down=True)
        receipt = report.receipt
        try:
            await line.ask(
                {
                    "op": "report",
                    "ref": receipt.ref,
                    "state": receipt.state.value,
                    "error": receipt.error,
                    "source": report.source,
                    "destination": report.destination,
                }
            )
        except Lost:
            raise NotNow(link_down=True) from None

    async def _asked(self, inbox: Inbox, said: Said) -> Said:
        if said["op"] == "receipt":
            receipt = Receipt(
                said["ref"], MessageState(said["state"]), datetime.now(UTC), said.get("error", "")
            )
            try:
                return {"known": await inbox.receipt(self.name, receipt)}
            except StoreUnavailable:
                return {"later": True}
        self._received += 1
        valid = said.get("valid_until")
        answer = await inbox.message(
            Received(
                link=self.name,
                ref=said["ref"],
                source=said["source"],
                destination=said["destination"],
                part=read_part(said["part"]),
                wants_receipt=said.get("wants_receipt", False),
                wants_failures=said.get("wants_failures", False),
                valid_until=datetime.fromtimestamp(valid, UTC) if valid else None,
            )
        )
        if isinstance(answer, Taken):
            return {"id": answer.id}
        return {"refused": answer.reason.value, "rule": answer.rule}


class LoopPeer:
    """A carrier: takes what the gateway submits, sends it messages and receipts.

    ``on_submit`` says what a submit is answered with: ``{"ref": …}``, ``{"later": seconds}`` or
    ``{"refused": status}``.
    """

    def __init__(self, on_submit: Callable[[Said], Said] | None = None) -> None:
        self._on_submit = on_submit or (lambda said: {"ref": f"p{next(self._refs)}"})
        self._refs = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._lines: list[Line] = []
        self._connected = asyncio.Event()
        self.submitted: list[Said] = []  #: with the answer's ``ref``
        self.reports: list[Said] = []
        self.on_report: Callable[[Said], None] = self.reports.append

    async def start(self, port: int = 0) -> int:
        """Listen; returns the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=_LINE)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._server is not None:
            self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close all connections; the gateway comes again."""
        for line in self._lines:
            line.close()
        self._lines.clear()
        self._connected.clear()

    async def connected(self) -> None:
        """Wait until a gateway is there."""
        await self._connected.wait()

    async def send(self, ref: str, source: str, destination: str, part: Part, **more: Any) -> Said:
        """Hand a message to the gateway; its answer: ``{"id": …}`` or ``{"refused": reason}``. Raise Lost."""
        question = {"op": "message", "ref": ref, "source": source, "destination": destination}
        return await self._line().ask({**question, "part": write_part(part), **more})

    async def receipt(self, ref: str, state: MessageState, error: str = "") -> Said:
        """Tell what became of a part; ``{"known": bool}``. Raise Lost."""
        return await self._line().ask({"op": "receipt", "ref": ref, "state": state.value, "error": error})

    def _line(self) -> Line:
        if not self._lines:
            raise Lost
        return self._lines[-1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer, self._asked)
        self._lines.append(line)
        self._connected.set()
        await line.run()
        if line in self._lines:
            self._lines.remove(line)
        if not self._lines:
            self._connected.clear()

    async def _asked(self, said: Said) -> Said:
        if said["op"] == "report":
            self.on_report(said)
            return {}
        answer = self._on_submit(said)
        self.submitted.append(said | answer)
        return answer


def links(config: Config, keyring: Keyring) -> list[LoopLink]:
    """A factory for ``Gateway``: every configured client in the place of its real protocol."""
    return [LoopLink(link) for link in config.messaging.links]


def write_part(part: Part) -> Said:
    """A part as JSON can hold it."""
    place = part.concat
    said: Said = {"data": base64.b64encode(part.data).decode(), "encoding": part.encoding.value}
    return said if place is None else said | {"concat": [place.ref, place.total, place.seq, place.wide]}


def read_part(said: Said) -> Part:
    """What ``write_part`` wrote."""
    place = Concat(*said["concat"]) if "concat" in said else None
    return Part(base64.b64decode(said["data"]), Encoding(said["encoding"]), place)
