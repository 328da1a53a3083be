"""CMPP on the wire: commands, versions, frames; what ``messaging.stream.session`` needs to know."""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from qibai.messaging.cmpp.status import Result
from qibai.messaging.stream.session import RESPONSE, BadPdu

HEADER: Final = struct.Struct(">III")  #: Total_Length, Command_Id, Sequence_Id
#: The longest PDU that is read: a CMPP_SUBMIT to 99 receivers with 255 octets of content has 3,618.
MAX_PDU: Final = 4_096

V2: Final = 0x20
V3: Final = 0x30


class Command(IntEnum):
    CONNECT = 0x01
    TERMINATE = 0x02
    SUBMIT = 0x04
    DELIVER = 0x05
    QUERY = 0x06
    CANCEL = 0x07
    ACTIVE_TEST = 0x08


def pdu(command: int, sequence: int = 0, body: bytes = b"") -> bytes:
    return HEADER.pack(HEADER.size + len(body), command, sequence) + body


def frames(buffer: bytearray) -> Iterator[bytes]:
    """Take whole PDUs off the front of ``buffer``. Raise BadPdu where a length cannot be: no later octet can
    be trusted to begin a PDU."""
    while len(buffer) >= 4:
        length = int.from_bytes(buffer[:4], "big")
        if not HEADER.size <= length <= MAX_PDU:
            raise BadPdu(Result.LENGTH)
        if len(buffer) < length:
            return
        frame = bytes(buffer[:length])
        del buffer[:length]
        yield frame


def result_octets(version: int, result: int) -> bytes:
    """A result or status: one octet in 2.0, four in 3.0."""
    return result.to_bytes(4 if version >= V3 else 1, "big")


class CmppWire:
    """CMPP as a session writes it in one version.

    CMPP has no answer that says "no such command": the answer to an unknown request is its own command's,
    with the result alone.
    """

    probe = pdu(Command.ACTIVE_TEST)
    leave = pdu(Command.TERMINATE)
    unanswered = frozenset[int]()

    def __init__(self, version: int) -> None:
        self.version = version

    def frames(self, buffer: bytearray) -> Iterator[bytes]:
        return frames(buffer)

    def head(self, frame: bytes) -> tuple[int, int]:
        _length, command, sequence = HEADER.unpack_from(frame)
        return command, sequence

    def numbered(self, frame: bytes, sequence: int) -> bytes:
        return frame[:8] + sequence.to_bytes(4, "big") + frame[12:]

    def echo(self, frame: bytes) -> bytes:
        command, sequence = self.head(frame)
        return pdu(command | RESPONSE, sequence, b"\0" if command == Command.ACTIVE_TEST else b"")

    def refusal(self, frame: bytes, status: int) -> bytes:
        command, sequence = self.head(frame)
        body = result_octets(self.version, status)
        match command:
            case Command.CONNECT:
                body += bytes(16) + bytes((self.version,))
            case Command.SUBMIT:
                body = bytes(8) + body
            case Command.DELIVER:  # with the Msg_Id that it is about
                body = frame[12:20].ljust(8, b"\0") + body
            case Command.CANCEL:
                body = result_octets(self.version, 1)
            case Command.QUERY:
                body = frame[12:31].ljust(19, b"\0") + bytes(32)
        return pdu(command | RESPONSE, sequence, body)

    def later(self, frame: bytes) -> bytes:
        return self.refusal(frame, Result.FLOW)

    def failed(self, frame: bytes) -> bytes:
        return self.refusal(frame, Result.OTHER)

    def garbage(self, bad: BadPdu) -> bytes:
        return b""
