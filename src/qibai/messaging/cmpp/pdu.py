"""Connect, Submit, Deliver and their answers in CMPP 2.0 and 3.0: octets to dataclasses and back, no I/O.

Texts are fixed fields of octets, filled up with zeros; they are read up to the first zero. ``repr`` shows no
number and no text of a message.
"""

import struct
from dataclasses import dataclass, field
from typing import Any, Final

from qibai.messaging.cmpp.status import Result
from qibai.messaging.cmpp.wire import V3, result_octets
from qibai.messaging.stream.session import BadPdu

MAX_RECEIVERS: Final = 99

_LAST: Final = (8, 20)  #: octets of Reserve in 2.0, of LinkID in 3.0
_CONNECT: Final = struct.Struct(">6s16sBI")
_SUBMIT: Final = {
    False: struct.Struct(">QBBBB10sB21sBBB6s2s6s17s17s21sB"),
    True: struct.Struct(">QBBBB10sB32sBBBB6s2s6s17s17s21sB"),
}
_DELIVER: Final = {False: struct.Struct(">Q21s10sBBB21sBB"), True: struct.Struct(">Q21s10sBBB32sBBB")}
_REPORT: Final = {False: struct.Struct(">Q7s10s10s21sI"), True: struct.Struct(">Q7s10s10s32sI")}
_REPORT_HEAD: Final = struct.Struct(">Q7s10s10s")


@dataclass(frozen=True, slots=True)
class Connect:
    source_addr: str  #: the SP_Id, six characters
    authenticator: bytes = field(repr=False)
    version: int
    timestamp: int  #: MMDDHHMMSS


@dataclass(frozen=True, slots=True)
class ConnectResp:
    status: int
    authenticator: bytes = field(repr=False)
    version: int


@dataclass(frozen=True, slots=True)
class Submit:
    """``src_id``: who sends; ``dest_terminal_ids``: who receives. ``reserve`` is LinkID in 3.0."""

    src_id: str = field(repr=False)
    dest_terminal_ids: tuple[str, ...] = field(repr=False)
    content: bytes = field(repr=False)
    msg_fmt: int
    msg_id: int = 0  #: left to the gateway
    pk_total: int = 1
    pk_number: int = 1
    registered_delivery: int = 0  #: 1: a report is wanted
    msg_level: int = 0
    service_id: str = ""
    fee_user_type: int = 0
    fee_terminal_id: str = field(default="", repr=False)
    fee_terminal_type: int = 0  #: 3.0
    tp_pid: int = 0
    tp_udhi: int = 0  #: 1: the content begins with a user data header
    msg_src: str = ""
    fee_type: str = ""
    fee_code: str = ""
    valid_time: str = ""
    at_time: str = ""
    dest_terminal_type: int = 0  #: 3.0
    reserve: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Deliver:
    """``dest_id``: the number that it was sent to. ``reserve`` is LinkID in 3.0."""

    msg_id: int
    dest_id: str = field(repr=False)
    src_terminal_id: str = field(repr=False)
    content: bytes = field(repr=False)
    msg_fmt: int = 0
    registered_delivery: int = 0  #: 1: the content is a StatusReport
    service_id: str = ""
    tp_pid: int = 0
    tp_udhi: int = 0
    src_terminal_type: int = 0  #: 3.0
    reserve: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The content of a Deliver that is a report; times are YYMMDDhhmm."""

    msg_id: int
    stat: str
    submit_time: str
    done_time: str
    dest_terminal_id: str = field(repr=False)
    smsc_sequence: int = 0


@dataclass(frozen=True, slots=True)
class MsgResult:
    """Submit_Resp and Deliver_Resp."""

    msg_id: int
    result: int


def write_connect(connect: Connect) -> bytes:
    source = _octets(connect.source_addr, 6)
    return _CONNECT.pack(source, connect.authenticator, connect.version, connect.timestamp)


def read_connect(body: bytes) -> Connect:
    source, authenticator, version, stamp = _unpack(_CONNECT, body, exact=True)
    return Connect(_text(source), authenticator, version, stamp)


def write_connect_resp(resp: ConnectResp, layout: int) -> bytes:
    """``layout``: the version that the peer reads it in."""
    return result_octets(layout, resp.status) + resp.authenticator + bytes((resp.version,))


def read_connect_resp(body: bytes) -> ConnectResp:
    """In either version: the lengths differ."""
    if len(body) not in (18, 21):
        raise BadPdu(Result.LENGTH)
    return ConnectResp(int.from_bytes(body[:-17], "big"), body[-17:-1], body[-1])


def write_submit(submit: Submit, version: int) -> bytes:
    wide = version >= V3
    size = 32 if wide else 21
    fee = [submit.fee_user_type, _octets(submit.fee_terminal_id, size)]
    head = _SUBMIT[wide].pack(
        submit.msg_id,
        submit.pk_total,
        submit.pk_number,
        submit.registered_delivery,
        submit.msg_level,
        _octets(submit.service_id, 10),
        *fee,
        *((submit.fee_terminal_type,) if wide else ()),
        submit.tp_pid,
        submit.tp_udhi,
        submit.msg_fmt,
        _octets(submit.msg_src, 6),
        _octets(submit.fee_type, 2),
        _octets(submit.fee_code, 6),
        _octets(submit.valid_time, 17),
        _octets(submit.at_time, 17),
        _octets(submit.src_id, 21),
        len(submit.dest_terminal_ids),
    )
    receivers = b"".join(_octets(receiver, size) for receiver in submit.dest_terminal_ids)
    kind = bytes((submit.dest_terminal_type,)) if wide else b""
    length = bytes((len(submit.content),))
    return head + receivers + kind + length + submit.content + _octets(submit.reserve, 20 if wide else 8)


def read_submit(body: bytes, version: int) -> Submit:
    """Raise BadPdu with the result to answer."""
    wide = version >= V3
    size = 32 if wide else 21
    values = list(_unpack(_SUBMIT[wide], body))
    fee_terminal_type = values.pop(8) if wide else 0
    count, at = values[-1], _SUBMIT[wide].size
    if not 1 <= count <= MAX_RECEIVERS:
        raise BadPdu(Result.STRUCTURE)
    receivers = body[at : at + size * count]
    at += size * count
    kind = body[at : at + 1] if wide else b"\0"
    content, reserve = _content(body, at + wide, 20 if wide else 8)
    return Submit(
        msg_id=values[0],
        pk_total=values[1],
        pk_number=values[2],
        registered_delivery=values[3],
        msg_level=values[4],
        service_id=_text(values[5]),
        fee_user_type=values[6],
        fee_terminal_id=_text(values[7]),
        fee_terminal_type=fee_terminal_type,
        tp_pid=values[8],
        tp_udhi=values[9],
        msg_fmt=values[10],
        msg_src=_text(values[11]),
        fee_type=_text(values[12]),
        fee_code=_text(values[13]),
        valid_time=_text(values[14]),
        at_time=_text(values[15]),
        src_id=_text(values[16]),
        dest_terminal_ids=tuple(_text(receivers[i * size : (i + 1) * size]) for i in range(count)),
        dest_terminal_type=kind[0],
        content=content,
        reserve=_text(reserve),
    )


def write_deliver(deliver: Deliver, version: int) -> bytes:
    wide = version >= V3
    head = _DELIVER[wide].pack(
        deliver.msg_id,
        _octets(deliver.dest_id, 21),
        _octets(deliver.service_id, 10),
        deliver.tp_pid,
        deliver.tp_udhi,
        deliver.msg_fmt,
        _octets(deliver.src_terminal_id, 32 if wide else 21),
        *((deliver.src_terminal_type,) if wide else ()),
        deliver.registered_delivery,
        len(deliver.content),
    )
    return head + deliver.content + _octets(deliver.reserve, 20 if wide else 8)


def read_deliver(body: bytes, version: int) -> Deliver:
    """Raise BadPdu with the result to answer."""
    wide = version >= V3
    values = list(_unpack(_DELIVER[wide], body))
    src_terminal_type = values.pop(7) if wide else 0
    content, reserve = _content(body, _DELIVER[wide].size - 1, 20 if wide else 8)
    return Deliver(
        msg_id=values[0],
        dest_id=_text(values[1]),
        service_id=_text(values[2]),
        tp_pid=values[3],
        tp_udhi=values[4],
        msg_fmt=values[5],
        src_terminal_id=_text(values[6]),
        src_terminal_type=src_terminal_type,
        registered_delivery=values[7],
        content=content,
        reserve=_text(reserve),
    )


def write_report(report: StatusReport, version: int) -> bytes:
    wide = version >= V3
    return _REPORT[wide].pack(
        report.msg_id,
        _octets(report.stat, 7),
        _octets(report.submit_time, 10),
        _octets(report.done_time, 10),
        _octets(report.dest_terminal_id, 32 if wide else 21),
        report.smsc_sequence,
    )


def read_report(content: bytes) -> StatusReport:
    """In either version's length; gateways that speak 3.0 write 2.0's, too. Raise BadPdu."""
    for layout in _REPORT.values():
        if len(content) == layout.size:
            msg_id, stat, submit, done, dest, sequence = layout.unpack(content)
            return StatusReport(msg_id, _text(stat), _text(submit), _text(done), _text(dest), sequence)
    msg_id, stat, submit, done = _unpack(_REPORT_HEAD, content)
    return StatusReport(msg_id, _text(stat), _text(submit), _text(done), "")


def reads_as_report(content: bytes) -> bool:
    """Whether it is a report, though its Deliver does not say so: two dates stand where a report has them."""
    if len(content) not in {layout.size for layout in _REPORT.values()}:
        return False
    _msg_id, _stat, submit, done = _unpack(_REPORT_HEAD, content)
    return bool(submit.isdigit() and done.isdigit())


def write_result(answer: MsgResult, version: int) -> bytes:
    return answer.msg_id.to_bytes(8, "big") + result_octets(version, answer.result)


def read_result(body: bytes) -> MsgResult:
    """In either version: the lengths differ. Raise BadPdu."""
    if len(body) not in (9, 12):
        raise BadPdu(Result.LENGTH)
    return MsgResult(int.from_bytes(body[:8], "big"), int.from_bytes(body[8:], "big"))


def _unpack(layout: struct.Struct, body: bytes, *, exact: bool = False) -> tuple[Any, ...]:
    if len(body) < layout.size or (exact and len(body) != layout.size):
        raise BadPdu(Result.LENGTH)
    return layout.unpack_from(body)


def _content(body: bytes, at: int, rest: int) -> tuple[bytes, bytes]:
    """What Msg_Length at ``at`` counts, and the last field, which has ``rest`` octets and ends the body.

    Some peers leave the last field out, write it as long as the other version has it, or fill up with zeros.
    """
    if at >= len(body) or len(body) < at + 1 + body[at]:
        raise BadPdu(Result.LENGTH)
    end = at + 1 + body[at]
    last = body[end:]
    if len(last) not in (0, *_LAST) and (len(last) < rest or any(last[rest:])):
        raise BadPdu(Result.LENGTH)
    return body[at + 1 : end], last[:rest]


def _octets(text: str, size: int) -> bytes:
    """Raise ValueError when it does not fit."""
    octets = text.encode("latin-1")
    if len(octets) > size:
        raise ValueError(f"a text is longer than its field of {size} octets")
    return octets.ljust(size, b"\0")


def _text(octets: bytes) -> str:
    return octets.split(b"\0", 1)[0].decode("latin-1")
