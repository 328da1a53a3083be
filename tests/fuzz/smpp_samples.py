"""PDUs of every kind that a session reads, as seeds for fuzzing."""

from typing import Final

import smpp34

from qibai.messaging.smpp.wire import Command, cstring, pdu, write_bind

_SAR: Final = [(0x020C, b"\0\7"), (0x020E, b"\3"), (0x020F, b"\2")]
_ADDRESSES: Final = {"source_addr": "13800138000", "destination_addr": "700000000010001"}


def _sm(kind: type[smpp34.SubmitSm] | type[smpp34.DeliverSm], **fields: object) -> bytes:
    tlvs = [smpp34.Tlv(tag, value) for tag, value in fields.pop("tlvs", [])]  # type: ignore[attr-defined]
    made: bytes = kind(**_ADDRESSES, tlvs=tlvs, sequence_number=5, **fields).encode()  # type: ignore[arg-type]
    return made


#: Messages and receipts, as submit_sm or as deliver_sm.
MESSAGES: Final = [
    _sm(kind, **fields)
    for kind in (smpp34.SubmitSm, smpp34.DeliverSm)
    for fields in (
        {"short_message": b"hello", "registered_delivery": 1, "validity_period": "000001000000000R"},
        {"short_message": "你好".encode("utf-16-be"), "data_coding": 8},
        {"short_message": b"\x05\0\x03\x07\x02\x01part", "esm_class": 0x40},
        {"short_message": b"\x06\x08\x04\x01\x07\x02\x01part", "esm_class": 0x40, "data_coding": 0xF5},
        {"short_message": b"part", "tlvs": _SAR},
        {"short_message": b"", "tlvs": [(0x0424, b"long " * 200)]},
        {
            "short_message": b"id:00a1 sub:001 dlvrd:001 submit date:2611241600 done date:2611241601 "
            b"stat:DELIVRD err:000 text:hello",
            "esm_class": 4,
        },
        {"short_message": b"", "tlvs": [(0x001E, b"a1\0"), (0x0427, b"\2"), (0x0423, b"\3\0\7")]},
    )
]
#: All the others.
OTHERS: Final = [
    write_bind(Command.BIND_TRANSCEIVER, "peer", "wrong"),
    pdu(Command.ENQUIRE_LINK, 6),
    pdu(0x80000015, 1),
    pdu(0x80000004, 1, cstring("00a1")),
    pdu(0x80000005, 1, b"\0", status=0x58),
    pdu(0x80000000, 1, status=3),
    pdu(Command.QUERY_SM, 7, cstring("00a1") + b"\1\1" + cstring("13800138000")),
    pdu(Command.OUTBIND, 8, cstring("a") + cstring("b")),
    pdu(
        Command.DATA_SM,
        9,
        b"\0\1\1" + cstring("8613800138000") + b"\2\1" + cstring("700000000010001") + b"\0\1\0\x04\x24\0\2hi",
    ),
]
