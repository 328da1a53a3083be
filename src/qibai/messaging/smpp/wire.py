"""SMPP 3.4 on the wire: frames, and the PDUs that are a header and a few strings.

``smpp34`` reads and writes submit_sm and deliver_sm with their optional parameters; the rest is here.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from qibai.messaging.smpp.status import Status
from qibai.messaging.stream.session import RESPONSE, BadPdu

HEADER: Final = struct.Struct(">IIII")  #: length, command, status, sequence number
VERSION: Final = 0x34
#: The longest PDU that is read: a message_payload of 65,535 octets and what stands around it.
MAX_PDU: Final = 66_560

_SC_INTERFACE_VERSION: Final = b"\x02\x10\x00\x01" + bytes((VERSION,))


class Command(IntEnum):
    BIND_RECEIVER = 0x01
    BIND_TRANSMITTER = 0x02
    QUERY_SM = 0x03
    SUBMIT_SM = 0x04
    DELIVER_SM = 0x05
    UNBIND = 0x06
    REPLACE_SM = 0x07
    CANCEL_SM = 0x08
    BIND_TRANSCEIVER = 0x09
    OUTBIND = 0x0B
    ENQUIRE_LINK = 0x15
    SUBMIT_MULTI = 0x21
    ALERT_NOTIFICATION = 0x102
    DATA_SM = 0x103


class Tag(IntEnum):
    """Optional parameters that are read or written."""

    RECEIPTED_MESSAGE_ID = 0x001E
    SAR_MSG_REF_NUM = 0x020C
    SAR_TOTAL_SEGMENTS = 0x020E
    SAR_SEGMENT_SEQNUM = 0x020F
    NETWORK_ERROR_CODE = 0x0423
    MESSAGE_PAYLOAD = 0x0424
    MESSAGE_STATE = 0x0427


BINDS: Final = frozenset({Command.BIND_RECEIVER, Command.BIND_TRANSMITTER, Command.BIND_TRANSCEIVER})
GENERIC_NACK: Final = RESPONSE


@dataclass(frozen=True, slots=True)
class Bind:
    """A bind of any kind. ``repr`` shows no password."""

    command: int
    system_id: str
    password: bytes
    version: int

    def __repr__(self) -> str:
        return f"<Bind {Command(self.command).name}>"


def frames(buffer: bytearray) -> Iterator[bytes]:
    """Take whole PDUs off the front of ``buffer``. Raise BadPdu where a length cannot be: no later byte
    can be trusted to begin a PDU."""
    while len(buffer) >= 4:
        length = int.from_bytes(buffer[:4], "big")
        if not HEADER.size <= length <= MAX_PDU:
            raise BadPdu(Status.RINVCMDLEN)
        if len(buffer) < length:
            return
        frame = bytes(buffer[:length])
        del buffer[:length]
        yield frame


def pdu(command: int, sequence: int = 0, body: bytes = b"", status: int = 0) -> bytes:
    return HEADER.pack(HEADER.size + len(body), command, status, sequence) + body


def cstring(text: str) -> bytes:
    return text.encode("ascii") + b"\0"


def read_cstring(body: bytes, at: int = 0) -> tuple[bytes, int]:
    """The octets up to the next NUL, and the place after it."""
    end = body.find(b"\0", at)
    if end < 0:
        raise BadPdu(Status.RINVPARLEN)
    return body[at:end], end + 1


def read_last_cstring(body: bytes, at: int = 0) -> bytes:
    """The octets up to the next NUL, or to the end: some peers leave out the NUL of a PDU's last string."""
    return body[at:].split(b"\0", 1)[0]


def read_bind(frame: bytes) -> Bind:
    command = int.from_bytes(frame[4:8], "big")
    system_id, at = read_cstring(frame, HEADER.size)
    password, at = read_cstring(frame, at)
    _system_type, at = read_cstring(frame, at)
    if at >= len(frame):
        raise BadPdu(Status.RINVPARLEN)
    return Bind(command, system_id.decode("ascii", "replace"), password, frame[at])


def write_bind(command: Command, system_id: str, password: str) -> bytes:
    # system_type, version, addr_ton, addr_npi, address_range: we fill in only the version
    return pdu(command, body=cstring(system_id) + cstring(password) + b"\0" + bytes((VERSION, 0, 0)) + b"\0")


def bind_answer(bind: Bind, sequence: int, system_id: str) -> bytes:
    """A bind's success; a peer older than 3.4 gets no optional parameter."""
    versioned = _SC_INTERFACE_VERSION if bind.version >= VERSION else b""
    return pdu(bind.command | RESPONSE, sequence, cstring(system_id) + versioned)


def as_submit(frame: bytes) -> bytes:
    """A data_sm as a submit_sm with the same fields: what it lacks is empty."""
    at = HEADER.size
    _service_type, at = read_cstring(frame, at)
    _source, at = read_cstring(frame, at + 2)
    _destination, at = read_cstring(frame, at + 2)
    if at + 3 > len(frame):
        raise BadPdu(Status.RINVPARLEN)
    esm_class, registered, data_coding = frame[at : at + 3]
    middle = bytes((esm_class, 0, 0, 0, 0, registered, 0, data_coding, 0, 0))
    body = frame[HEADER.size : at] + middle + frame[at + 3 :]
    return pdu(Command.SUBMIT_SM, int.from_bytes(frame[12:16], "big"), body)


_LATER: Final = {
    Command.SUBMIT_SM: Status.RTHROTTLED,
    Command.DATA_SM: Status.RTHROTTLED,
    Command.DELIVER_SM: Status.RX_T_APPN,
}


class SmppWire:
    """SMPP for ``messaging.stream.session``."""

    probe = pdu(Command.ENQUIRE_LINK)
    leave = pdu(Command.UNBIND)
    unanswered = frozenset[int]({Command.OUTBIND, Command.ALERT_NOTIFICATION})

    def frames(self, buffer: bytearray) -> Iterator[bytes]:
        return frames(buffer)

    def head(self, frame: bytes) -> tuple[int, int]:
        _length, command, _status, sequence = HEADER.unpack_from(frame)
        return command, sequence

    def numbered(self, frame: bytes, sequence: int) -> bytes:
        return frame[:12] + sequence.to_bytes(4, "big") + frame[16:]

    def echo(self, frame: bytes) -> bytes:
        command, sequence = self.head(frame)
        return pdu(command | RESPONSE, sequence)

    def refusal(self, frame: bytes, status: int) -> bytes:
        command, sequence = self.head(frame)
        return pdu(command | RESPONSE if command in set(Command) else GENERIC_NACK, sequence, status=status)

    def later(self, frame: bytes) -> bytes:
        command, sequence = self.head(frame)
        status = _LATER[Command(command)] if command in _LATER else Status.RSYSERR
        return pdu(command | RESPONSE, sequence, status=status)

    def failed(self, frame: bytes) -> bytes:
        return self.refusal(frame, Status.RSYSERR)

    def garbage(self, bad: BadPdu) -> bytes:
        return pdu(GENERIC_NACK, status=bad.status)
