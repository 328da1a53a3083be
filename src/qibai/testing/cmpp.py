"""Peers that speak CMPP 2.0 and 3.0: a carrier's gateway (ISMG), and a service provider (SP).

Their codec comes from the specification's tables and shares nothing with that of our links. Fields are called
as in the specification; a PDU's fields are a dictionary.
"""

import asyncio
import contextlib
import hashlib
import itertools
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

WAIT_S: Final = 60.0
CONNECT, TERMINATE, SUBMIT, DELIVER, QUERY, CANCEL, ACTIVE_TEST = 1, 2, 4, 5, 6, 7, 8
RESP = 0x80000000
ACCOUNT, SECRET = "901234", "secret"

_SUBMIT = (
    "Msg_Id:8 Pk_total:1 Pk_number:1 Registered_Delivery:1 Msg_level:1 Service_Id:10s Fee_UserType:1 "
    "Fee_terminal_Id:{n}s {t}TP_pId:1 TP_udhi:1 Msg_Fmt:1 Msg_src:6s FeeType:2s FeeCode:6s ValId_Time:17s "
    "At_Time:17s Src_Id:21s DestUsr_tl:1 Dest_terminal_Id:{n}s {d}Msg_Length:1 Msg_Content:*s {r}"
)
_DELIVER = (
    "Msg_Id:8 Dest_Id:21s Service_Id:10s TP_pid:1 TP_udhi:1 Msg_Fmt:1 Src_terminal_Id:{n}s {s}"
    "Registered_Delivery:1 Msg_Length:1 Msg_Content:*s {r}"
)
_WIDE = {
    "n": "32",
    "t": "Fee_terminal_type:1 ",
    "d": "Dest_terminal_type:1 ",
    "s": "Src_terminal_type:1 ",
    "r": "LinkID:20s",
}
_NARROW = {"n": "21", "t": "", "d": "", "s": "", "r": "Reserve:8s"}
Fields = dict[str, Any]
#: Gives the body of the answer to (peer, command, sequence number, body); None: no answer.
Answerer = Callable[["CmppPeer", int, int, bytes], bytes | None]


def md5(data: bytes) -> bytes:
    """The digest that CONNECT proves its secret with."""
    return hashlib.md5(data, usedforsecurity=False).digest()


def layout(command: int, version: int) -> list[tuple[str, str]]:
    """(field, size) of a SUBMIT or DELIVER of version 2 or 3, in order; sizes as ``struct`` writes them."""
    table = (_SUBMIT if command == SUBMIT else _DELIVER).format(**_WIDE if version == 3 else _NARROW)
    return [(name, size) for name, _, size in (item.partition(":") for item in table.split())]


def write(command: int, version: int, fields: Fields) -> bytes:
    """The body of a SUBMIT or DELIVER. ``Msg_Content`` must be given; other fields may be left out."""
    content = fields["Msg_Content"]
    given = {"Msg_Length": len(content), "DestUsr_tl": 1, "Pk_total": 1, "Pk_number": 1} | fields
    body = b""
    for name, size in layout(command, version):
        if size == "*s":
            body += content
        elif size.endswith("s"):
            value = given.get(name, b"")
            octets = value.encode() if isinstance(value, str) else value
            body += struct.pack(size, octets)
        else:
            body += int(given.get(name, 0)).to_bytes(int(size), "big")
    return body


def read(command: int, version: int, body: bytes) -> Fields:
    """The fields of a body. Raise ValueError if it is too short or too long."""
    fields: Fields = {}
    at = 0
    for name, size in layout(command, version):
        count = fields["Msg_Length"] if size == "*s" else int(size.rstrip("s"))
        octets = body[at : at + count]
        if len(octets) < count:
            raise ValueError(f"{name} is cut off")
        at += count
        if size == "*s":
            fields[name] = octets
        else:
            fields[name] = (
                octets.rstrip(b"\0").decode() if size.endswith("s") else int.from_bytes(octets, "big")
            )
    if at != len(body):
        raise ValueError("octets after the end")
    return fields


def text_of(fields: Fields) -> str:
    """The text of a SUBMIT or DELIVER by its ``Msg_Fmt``, without the header of a part."""
    octets: bytes = fields["Msg_Content"]
    if fields["TP_udhi"] and octets:
        octets = octets[octets[0] + 1 :]
    return octets.decode({8: "utf-16-be", 15: "gb18030"}.get(fields["Msg_Fmt"], "ascii"), "replace")


def report(version: int, msg_id: int, stat: str, dest: str) -> bytes:
    """The ``Msg_Content`` of a status report: ``stat``, such as ``DELIVRD``, is what became of ``msg_id``."""
    size = 32 if version == 3 else 21
    done = f"{datetime.now(ZoneInfo('Asia/Shanghai')):%y%m%d%H%M}".encode()
    return struct.pack(f">Q7s10s10s{size}sI", msg_id, stat.encode(), done, done, dest.encode(), 1)


def result(version: int, value: int) -> bytes:
    """A Result or Status: one octet in version 2, four in version 3."""
    return value.to_bytes(4 if version == 3 else 1, "big")


def connect(
    version: int,
    *,
    account: str = ACCOUNT,
    secret: str = SECRET,
    stamp: str = "",
    claims: int | None = None,
    proof: bytes | None = None,
) -> bytes:
    """The body of a CONNECT. ``claims`` and ``proof``: another version and digest than the right ones."""
    stamp = stamp or f"{datetime.now(ZoneInfo('Asia/Shanghai')):%m%d%H%M%S}"
    if proof is None:
        proof = md5(account.encode() + bytes(9) + secret.encode() + stamp.encode())
    claimed = version * 16 if claims is None else claims
    return struct.pack(">6s16sBI", account.encode(), proof, claimed, int(stamp))


@dataclass
class CmppPeer:
    """One connection. ``auto`` gives the answer to a request, None for none; ``got`` is all that came."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    version: int
    auto: Answerer | None = None
    got: list[tuple[int, int, bytes]] = field(default_factory=list)
    greeted: bool = False  #: a CONNECT of the other side was let in
    closed: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def send(self, command: int, body: bytes = b"", sequence: int | None = None) -> int:
        """Send a PDU. Returns its sequence number: the next one, if none is given."""
        number = next(self.numbers) if sequence is None else sequence
        self.writer.write(struct.pack(">III", 12 + len(body), command, number) + body)
        return number

    async def run(self) -> None:
        """Read until the connection ends."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length, command, sequence = struct.unpack(">III", await self.reader.readexactly(12))
                body = await self.reader.readexactly(length - 12)
                self.got.append((command, sequence, body))
                if self.auto is not None and not command & RESP:
                    answer = self.auto(self, command, sequence, body)
                    if answer is not None:
                        self.send(command | RESP, answer, sequence)
                self.changed.set()
        self.closed = True
        self.changed.set()

    async def expect(self, command: int, count: int = 1, sequence: int | None = None) -> bytes:
        """Wait for the ``count``-th PDU of this command; returns its body.

        Raise ConnectionError if the peer closes.
        """

        def found() -> list[bytes]:
            return [b for c, s, b in self.got if c == command and sequence in (None, s)]

        async with asyncio.timeout(WAIT_S):
            while len(found()) < count:
                if self.closed:
                    raise ConnectionError(f"closed; got {[hex(c) for c, _, _ in self.got]}")
                self.changed.clear()
                await self.changed.wait()
        return found()[count - 1]

    async def end(self) -> None:
        """Wait until the other side closes."""
        async with asyncio.timeout(WAIT_S):
            while not self.closed:
                self.changed.clear()
                await self.changed.wait()

    async def ask(self, command: int, body: bytes = b"") -> bytes:
        """Send a request; returns the body of its answer."""
        number = self.send(command, body)
        return await self.expect(command | RESP, sequence=number)

    def delivered(self) -> list[Fields]:
        """All DELIVERs that came."""
        return [read(DELIVER, self.version, b) for c, _, b in self.got if c == DELIVER]


def take_all(peer: CmppPeer, command: int, _sequence: int, body: bytes) -> bytes | None:
    """A peer that takes what it is delivered."""
    if command == DELIVER:
        return body[:8] + result(peer.version, 0)
    return b"\0" if command == ACTIVE_TEST else b""


@contextlib.asynccontextmanager
async def sp(
    port: int,
    version: int = 3,
    *,
    connected: bool = True,
    auto: Answerer = take_all,
    local: str = "",
    **fields: Any,
) -> AsyncIterator[CmppPeer]:
    """A service provider on our ``port``, from the address ``local``; ``fields`` are ``connect``'s.

    Raise ConnectionRefusedError if its CONNECT is refused.
    """
    address = (local, 0) if local else None
    peer = CmppPeer(*await asyncio.open_connection("127.0.0.1", port, local_addr=address), version, auto)
    task = asyncio.create_task(peer.run())
    try:
        if connected:
            answer = await peer.ask(CONNECT, connect(version, **fields))
            if int.from_bytes(answer[:-17], "big"):
                raise ConnectionRefusedError("CONNECT was refused")
        yield peer
    finally:
        peer.writer.close()
        await task


@dataclass
class Ismg:
    """A carrier's gateway. It takes any account whose secret is ``secret``, and every SUBMIT.

    ``answers`` are the results of its next answers to SUBMITs, after which it says 0.
    """

    version: int = 3
    highest: int = 0x30
    secret: str = SECRET
    peers: list[CmppPeer] = field(default_factory=list)
    submits: list[Fields] = field(default_factory=list)  #: ``given`` is the Msg_Id that it gave
    answers: list[int | None] = field(default_factory=list)  #: results; None: no answer
    breaks: set[int] = field(default_factory=set)  #: takes these Submits, counted from 1, and breaks off
    connects: int = 0
    host: str = "127.0.0.1"
    port: int = 0
    deaf: bool = False  #: answers nothing
    forged: bool = False  #: proves nothing
    stat: str = ""  #: what its status reports say, such as ``DELIVRD``; "": it sends none
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(0x5A5B5C5D00000001))

    @property
    def peer(self) -> CmppPeer:
        """The newest connection."""
        return self.peers[-1]

    async def deliver(self, source: str, destination: str, text: str) -> int:
        """Hand the platform a message that a telephone sent. Returns its Result, 0 if it took it."""
        peer = await self.bound()
        fields = {"Msg_Id": next(self.ids), "Src_terminal_Id": source, "Dest_Id": destination, "Msg_Fmt": 8}
        body = write(DELIVER, peer.version, fields | {"Msg_Content": text.encode("utf-16-be")})
        return int.from_bytes((await peer.ask(DELIVER, body))[8:], "big")

    async def bound(self) -> CmppPeer:
        """Wait for a connection that is let in; returns the newest."""
        async with asyncio.timeout(WAIT_S):
            while not (self.peers and self.peer.greeted and not self.peer.closed):  # noqa: ASYNC110 - two facts
                await asyncio.sleep(0.01)
            return self.peer

    def _auto(self, peer: CmppPeer, command: int, _sequence: int, body: bytes) -> bytes | None:
        if self.deaf:
            return None
        match command:
            case 1:
                return self._connect(peer, body)
            case 4:
                self.submits.append(read(SUBMIT, peer.version, body))
                answer = self.answers.pop(0) if self.answers else 0
                if answer is None:
                    return None
                msg_id = next(self.ids) if answer == 0 else 0
                self.submits[-1]["given"] = msg_id
                if len(self.submits) in self.breaks:  # nobody hears of it, nor of what came after it
                    peer.writer.transport.abort()
                    raise ConnectionAbortedError
                if self.stat and msg_id and self.submits[-1]["Registered_Delivery"]:
                    self._report(peer, self.submits[-1])
                return msg_id.to_bytes(8, "big") + result(peer.version, answer)
            case 8:
                return b"\0"
        return b""

    def _report(self, peer: CmppPeer, submit: Fields) -> None:
        content = report(peer.version, submit["given"], self.stat, submit["Dest_terminal_Id"])
        fields = {"Msg_Id": submit["given"], "Src_terminal_Id": submit["Dest_terminal_Id"]}
        more = {"Dest_Id": submit["Src_Id"], "Registered_Delivery": 1, "Msg_Content": content}
        body = write(DELIVER, peer.version, fields | more)
        asyncio.get_running_loop().call_soon(peer.send, DELIVER, body)  # after the answer

    def _connect(self, peer: CmppPeer, body: bytes) -> bytes:
        self.connects += 1
        account, proof, version, stamp = struct.unpack(">6s16sBI", body)
        peer.version = 3 if version >= 0x30 else 2
        right = md5(account + bytes(9) + self.secret.encode() + b"%010d" % stamp)
        status = 4 if version > self.highest else 0 if proof == right else 3
        head = result(peer.version, status)
        mine = md5(head + proof + (b"" if self.forged else self.secret.encode()))
        peer.greeted = status == 0
        return head + (mine if status == 0 else bytes(16)) + bytes((self.highest,))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = CmppPeer(reader, writer, self.version, self._auto)
        self.peers.append(peer)
        await peer.run()
        writer.close()


@contextlib.asynccontextmanager
async def ismg(**fields: Any) -> AsyncIterator[Ismg]:
    """A gateway that listens until the end of the block; ``fields`` are those of ``Ismg``."""
    made = Ismg(**fields)
    listener = await asyncio.start_server(made._serve, made.host, made.port)
    made.port = listener.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listener.close()
        for peer in made.peers:
            peer.writer.close()
