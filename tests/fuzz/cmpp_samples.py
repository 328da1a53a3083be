"""PDUs of every kind that a session reads, as seeds for fuzzing."""

from typing import Final

from qibai.messaging.cmpp.pdu import (
    Connect,
    ConnectResp,
    Deliver,
    MsgResult,
    StatusReport,
    Submit,
    write_connect,
    write_connect_resp,
    write_deliver,
    write_report,
    write_result,
    write_submit,
)
from qibai.messaging.cmpp.wire import V2, V3, Command, pdu

_RESPONSE: Final = 0x8000_0000
_A, _X = "13800138000", "700000000010001"
_TEXTS: Final[list[tuple[int, int, bytes]]] = [
    (0, 0, b"hello"),
    (0, 0, b"a\x1be\x00"),
    (8, 0, "你好".encode("utf-16-be")),
    (15, 0, "你好".encode("gbk")),
    (4, 0, bytes(range(40))),
    (8, 1, b"\x05\0\x03\x07\x02\x01" + "很长".encode("utf-16-be")),
    (0, 1, b"\x06\x08\x04\x01\x07\x02\x01part"),
]
_REPORTS: Final = [
    StatusReport(0x5A5B5C5D00000001, stat, "2611241600", "2611241601", _X, 1)
    for stat in ("DELIVRD", "MA:0001", "ACCEPTD")
]

#: Messages and reports in both versions.
MESSAGES: Final = [
    pdu(command, 5, body)
    for version in (V2, V3)
    for command, bodies in (
        (
            Command.SUBMIT,
            [
                write_submit(
                    Submit(_A, (_X,), content, fmt, tp_udhi=udhi, valid_time="000001000000000R"), version
                )
                for fmt, udhi, content in _TEXTS
            ],
        ),
        (
            Command.DELIVER,
            [
                *(
                    write_deliver(Deliver(7, _X, _A, content, fmt, tp_udhi=udhi), version)
                    for fmt, udhi, content in _TEXTS
                ),
                *(
                    write_deliver(
                        Deliver(8, _X, _A, write_report(told, version), registered_delivery=1), version
                    )
                    for told in _REPORTS
                ),
            ],
        ),
    )
    for body in bodies
]

#: All else.
OTHERS: Final = [
    pdu(Command.CONNECT, 1, write_connect(Connect("901234", bytes(16), V3, 1124170000))),
    pdu(Command.CONNECT | _RESPONSE, 1, write_connect_resp(ConnectResp(0, bytes(16), V3), V3)),
    pdu(Command.SUBMIT | _RESPONSE, 2, write_result(MsgResult(9, 0), V3)),
    pdu(Command.DELIVER | _RESPONSE, 2, write_result(MsgResult(9, 8), V2)),
    pdu(Command.QUERY, 3, b"20261124" + bytes(19)),
    pdu(Command.CANCEL, 4, bytes(8)),
    pdu(Command.ACTIVE_TEST, 5),
    pdu(Command.ACTIVE_TEST | _RESPONSE, 5, b"\0"),
    pdu(Command.TERMINATE, 6),
    pdu(0x10, 7, b"a route"),
]
