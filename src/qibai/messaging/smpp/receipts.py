"""Delivery receipts (SMPP 3.4 appendix B and §5.3.2): read in text or in parameters, written in both.

The text inside a receipt, the first letters of what somebody wrote, is never read and never passed.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import smpp34

from qibai.core.messages import MessageState
from qibai.messaging.link import Receipt, Report
from qibai.messaging.smpp.wire import Tag
from qibai.messaging.stream.ids import MAX_ID, ReceiptIds, as_receipted
from qibai.messaging.stream.outcomes import Outcome, error_of, outcome_of, outcome_of_number
from qibai.messaging.stream.times import read_short, write_short

ESM_RECEIPT: Final = 0x04  #: message type in esm_class: an SMSC delivery receipt
_ESM_TYPE: Final = 0x3C

_TOLD: Final[Mapping[MessageState, tuple[int, str]]] = {
    MessageState.DELIVERED: (2, "DELIVRD"),
    MessageState.EXPIRED: (3, "EXPIRED"),
    MessageState.REJECTED: (8, "REJECTD"),
    MessageState.UNKNOWN: (7, "UNKNOWN"),
    MessageState.QUEUED: (1, "ENROUTE"),
    MessageState.SENT: (1, "ENROUTE"),
}

#: The words for states in appendix B.
_STANDARD: Final = frozenset(b"DELIVRD EXPIRED DELETED UNDELIV ACCEPTD UNKNOWN REJECTD ENROUTE".split())

#: Before a word. Some peers quote words and values; in GSM 03.38 { is ESC ( and _ is 0x11.
_SIGN: Final = rb"(?:^|[\s,;|{(])[\"']?"
_IS: Final = rb"[\"']?\s*[:=]\s*[\"']?"
_END: Final = rb"[\"']?(?=[\s,;|})\x1b]|$)"
_ID: Final = re.compile(
    _SIGN + rb"(?:message[ _\x11]?)?id[\"']?\s*[:=] ?[\"']?([!#-&(-+\--9<>-~]{1,64})" + _END, re.IGNORECASE
)
_STAT: Final = re.compile(
    _SIGN
    + rb"stat(?:us|e)?"
    + _IS
    + rb"(?!(?:err|text|sub|id|dlvrd|submit|done)(?:\b|_))"
    + rb"([\x11!#-&(-+\--:<>-z~]{1,24})[\"']?(\s|[,;|})\x1b]|$)",
    re.IGNORECASE,
)
_ERR: Final = re.compile(
    _SIGN + rb"err(?:or)?" + _IS + rb"([^:;|,]{1,40}?)(?=\s+[a-z]+[ _\x11]?[a-z]*\s*:|[,;|]|\s*$)",
    re.IGNORECASE,
)
_DONE: Final = re.compile(_SIGN + rb"done[ _\x11]?date" + _IS + rb"([0-9]{10,14})" + _END, re.IGNORECASE)
_DELIVERED: Final = re.compile(_SIGN + rb"dlvrd" + _IS + rb"0*[1-9]", re.IGNORECASE)
_OTHERS: Final = re.compile(
    _SIGN + rb"(?:sub|dlvrd|submit[ _\x11]?date|done[ _\x11]?date|err(?:or)?)" + _IS, re.IGNORECASE
)
_TEXT: Final = re.compile(_SIGN + rb"text" + _IS, re.IGNORECASE)


def is_receipt(pdu: smpp34.SubmitSm | smpp34.DeliverSm) -> bool:
    """Whether it is, or reads as, a receipt. Some centres say so in parameters alone, others in the text."""
    return says_receipt(pdu) or _reads_as_receipt(_words_of(pdu))


def says_receipt(pdu: smpp34.SubmitSm | smpp34.DeliverSm) -> bool:
    """Whether the message centre says that it is a receipt: no subscriber can write that."""
    if pdu.esm_class & _ESM_TYPE == ESM_RECEIPT:
        return True
    tags = {tlv.tag for tlv in pdu.tlvs}
    return not pdu.esm_class & _ESM_TYPE and {Tag.RECEIPTED_MESSAGE_ID, Tag.MESSAGE_STATE} <= tags


def _reads_as_receipt(text: bytes) -> bool:
    """Whether nobody but a message centre writes so: an id, a state and at least two of the other fields.

    A text that begins with the id needs no other field if its state is a word of appendix B.
    """
    found, stat = _ID.search(text), _STAT.search(text)
    if not found or not stat:
        return False
    if len(_OTHERS.findall(text)) >= 2:
        return True
    return not text[: found.start()].strip() and stat[1].upper() in _STANDARD


def _words_of(pdu: smpp34.SubmitSm | smpp34.DeliverSm) -> bytes:
    """The text without what somebody wrote; UCS-2 is read as what it is."""
    payload = [tlv.value for tlv in pdu.tlvs if tlv.tag == Tag.MESSAGE_PAYLOAD]
    data = pdu.short_message or (payload[0] if payload else b"")
    if data[:1] == b"\0" and len(data) % 2 == 0:
        data = data.decode("utf-16-be", "replace").encode("ascii", "replace")
    return _TEXT.split(data.replace(b"\0", b" "), 1)[0]  # some centres end each value as C does


def read_receipt(pdu: smpp34.SubmitSm | smpp34.DeliverSm, ids: ReceiptIds, now: datetime) -> Receipt | None:
    """What a receipt says, None if it cannot be read. Its ``state`` is SENT where nothing is final yet."""
    tlvs = {tlv.tag: tlv.value for tlv in pdu.tlvs}
    text = _words_of(pdu)
    named = tlvs.get(Tag.RECEIPTED_MESSAGE_ID, b"").split(b"\0", 1)[0].strip()
    if not named and (found := _ID.search(text)):
        named = found[1]
    if not 0 < len(named) <= MAX_ID or not (named.isascii() and named.decode().isprintable()):
        return None
    outcome = _outcome(text, tlvs)
    if outcome is None:
        return None
    done = _DONE.search(text)
    refs = as_receipted(named.decode(), ids)
    return Receipt(
        refs[0],
        outcome.state or MessageState.SENT,
        now,
        outcome.error or _error(text, tlvs),
        others=refs[1:],
        stated_at=read_short(done[1].decode()) if done else None,
        ends=(pdu.source_addr, pdu.destination_addr),
        sure=says_receipt(pdu),
    )


def _outcome(text: bytes, tlvs: Mapping[int, bytes]) -> Outcome | None:
    """The parameter counts first, where it says something final."""
    number = tlvs.get(Tag.MESSAGE_STATE, b"")
    by_number = outcome_of_number(number[-1]) if number else None
    if by_number is not None and by_number.state is not None:
        return by_number
    found = _STAT.search(text)
    by_word = None
    if found:
        word = found[1].replace(b"\x11", b"_").decode("ascii", "replace")
        by_word = outcome_of(word, cut=found.end() == len(text))
        zeros = not found[1].strip(b"0")
        if zeros and by_word is not None and b"dlvrd" in text.lower() and not _DELIVERED.search(text):
            by_word = Outcome(None)  # a message_state of 0, which means scheduled
    return by_word or by_number


def _error(text: bytes, tlvs: Mapping[int, bytes]) -> str:
    found = _ERR.search(text)
    if found and (error := error_of(found[1].decode("ascii", "replace"))):
        return error
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
