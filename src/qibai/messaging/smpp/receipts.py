"""Delivery receipts (SMPP 3.4 appendix B and §5.3.2): read in text or in parameters, written in both.

The text inside a receipt, the first letters of what somebody wrote, is never read and never passed.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

import smpp34

from qibai.core.messages import MessageState
from qibai.messaging.link import Receipt, Report
from qibai.messaging.smpp.wire import Tag
from qibai.messaging.stream.times import read_short, write_short

ReceiptIds = Literal["same", "decimal", "hex"]

ESM_RECEIPT: Final = 0x04  #: message type in esm_class: an SMSC delivery receipt
_ESM_TYPE: Final = 0x3C

#: message_state (§5.2.28) and the seven letters of the text form. None: not final, the message is on its way.
_STATES: Final[Mapping[int, MessageState | None]] = {
    0: None,
    1: None,
    2: MessageState.DELIVERED,
    3: MessageState.EXPIRED,
    4: MessageState.REJECTED,  # deleted
    5: MessageState.REJECTED,  # undeliverable
    6: None,  # accepted: by whom differs from centre to centre
    7: MessageState.UNKNOWN,
    8: MessageState.REJECTED,
}
_WORDS: Final[Mapping[bytes, int]] = {
    b"ENROUTE": 1,
    b"DELIVRD": 2,
    b"EXPIRED": 3,
    b"DELETED": 4,
    b"UNDELIV": 5,
    b"ACCEPTD": 6,
    b"UNKNOWN": 7,
    b"REJECTD": 8,
}
_TOLD: Final[Mapping[MessageState, tuple[int, str]]] = {
    MessageState.DELIVERED: (2, "DELIVRD"),
    MessageState.EXPIRED: (3, "EXPIRED"),
    MessageState.REJECTED: (8, "REJECTD"),
    MessageState.UNKNOWN: (7, "UNKNOWN"),
    MessageState.QUEUED: (1, "ENROUTE"),
    MessageState.SENT: (1, "ENROUTE"),
}

_ID: Final = re.compile(rb"(?:^|\s)id:([!-~]{1,64})(?:\s|$)", re.IGNORECASE)
_STAT: Final = re.compile(rb"\sstat:\s*([A-Z]{7})", re.IGNORECASE)
_ERR: Final = re.compile(rb"\serr:\s*([0-9A-Z]{1,16})(?:\s|$)", re.IGNORECASE)
_DONE: Final = re.compile(rb"\sdone date:\s*([0-9]{10,14})(?:\s|$)", re.IGNORECASE)
_TEXT: Final = re.compile(rb"\stext:", re.IGNORECASE)


def is_receipt(pdu: smpp34.SubmitSm | smpp34.DeliverSm) -> bool:
    """Whether it is about a message of ours; some centres say so in parameters alone."""
    if pdu.esm_class & _ESM_TYPE:
        return pdu.esm_class & _ESM_TYPE == ESM_RECEIPT
    return {Tag.RECEIPTED_MESSAGE_ID, Tag.MESSAGE_STATE} <= {tlv.tag for tlv in pdu.tlvs}


def read_receipt(pdu: smpp34.SubmitSm | smpp34.DeliverSm, ids: ReceiptIds, now: datetime) -> Receipt | None:
    """What a receipt says; None when it says nothing final or names no message."""
    tlvs = {tlv.tag: tlv.value for tlv in pdu.tlvs}
    text = _TEXT.split(pdu.short_message or tlvs.get(Tag.MESSAGE_PAYLOAD, b""), 1)[0]
    named = tlvs.get(Tag.RECEIPTED_MESSAGE_ID, b"").rstrip(b"\0")
    if not named and (found := _ID.search(text)):
        named = found[1]
    if not 0 < len(named) <= 64 or not named.isascii():
        return None
    number: int | None
    if len(tlvs.get(Tag.MESSAGE_STATE, b"")) == 1:
        number = tlvs[Tag.MESSAGE_STATE][0]
    else:
        found = _STAT.search(text)
        number = _WORDS.get(found[1].upper()) if found else None
    state = None if number is None else _STATES.get(number)
    if state is None:
        return None
    done = _DONE.search(text)
    at = read_short(done[1].decode()) if done else None
    return Receipt(as_receipted(named.decode(), ids), state, at or now, _error(text, tlvs))


def _error(text: bytes, tlvs: Mapping[int, bytes]) -> str:
    found = _ERR.search(text)
    if found and found[1].strip(b"0"):
        return found[1].decode()
    network = tlvs.get(Tag.NETWORK_ERROR_CODE, b"")
    code = int.from_bytes(network[1:], "big") if len(network) == 3 else 0
    return str(code) if code else ""


def write_report(report: Report) -> tuple[bytes, list[smpp34.Tlv]]:
    """The text and the parameters that tell a peer what became of its message."""
    receipt = report.receipt
    number, word = _TOLD[receipt.state]
    text = (
        f"id:{receipt.ref} sub:001 dlvrd:{'001' if receipt.state is MessageState.DELIVERED else '000'}"
        f" submit date:{write_short(report.submitted_at)} done date:{write_short(receipt.at)}"
        f" stat:{word} err:{receipt.error or '000'} text:"
    )
    return text.encode("ascii"), [
        smpp34.Tlv(Tag.RECEIPTED_MESSAGE_ID, receipt.ref.encode("ascii") + b"\0"),
        smpp34.Tlv(Tag.MESSAGE_STATE, bytes((number,))),
    ]


def as_answered(message_id: str, ids: ReceiptIds) -> str:
    """The id in an answer as receipts will write it: some centres answer in one base, report in the other."""
    match ids:
        case "decimal":
            return _based(message_id, 16, "d")
        case "hex":
            return _based(message_id, 10, "x")
    return message_id


def as_receipted(message_id: str, ids: ReceiptIds) -> str:
    """The id in a receipt, without leading zeros or capitals where bases differ."""
    match ids:
        case "decimal":
            return _based(message_id, 10, "d")
        case "hex":
            return _based(message_id, 16, "x")
    return message_id


def _based(text: str, base: int, wanted: str) -> str:
    try:
        return format(int(text, base), wanted)
    except ValueError:
        return text
