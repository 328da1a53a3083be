"""What reading any octets as SMPP must satisfy, for tests by property and by fuzzing alike."""

from contextlib import suppress
from datetime import UTC, datetime

from qibai.messaging.smpp.mapping import Sm, read_message, read_sm
from qibai.messaging.smpp.receipts import is_receipt, read_receipt
from qibai.messaging.smpp.wire import HEADER, MAX_PDU, Command, as_submit, frames, read_bind
from qibai.messaging.stream.session import BadPdu

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def check(data: bytes) -> None:
    """Read a stream as a session does: nothing but BadPdu is raised, and little is kept."""
    buffer = bytearray(data)
    with suppress(BadPdu):
        for frame in frames(buffer):
            assert HEADER.size <= len(frame) <= MAX_PDU
            _check_frame(frame)
        assert len(buffer) < MAX_PDU


def _check_frame(frame: bytes) -> None:
    with suppress(BadPdu):
        read_bind(frame)
    for kind in (Command.SUBMIT_SM, Command.DELIVER_SM):
        with suppress(BadPdu):
            _check_sm(read_sm(frame[:4] + kind.to_bytes(4, "big") + frame[8:]))
    with suppress(BadPdu):
        _check_sm(read_sm(as_submit(frame)))


def _check_sm(sm: Sm) -> None:
    if is_receipt(sm):
        for ids in ("auto", "same", "decimal", "hex"):
            receipt = read_receipt(sm, ids, NOW)  # type: ignore[arg-type]
            if receipt is not None:
                assert 0 < len(receipt.ref) <= 80 and receipt.ref.isascii()
                assert len(receipt.error) <= 16 and (receipt.error == "" or receipt.error.isalnum())
                assert receipt.at == NOW
        return
    received = read_message(sm, "link", "ref", NOW)
    concat = received.part.concat
    assert concat is None or 1 <= concat.seq <= concat.total <= 255
    assert received.valid_until is None or received.valid_until.tzinfo is not None
    assert received.part.data in sm.short_message or any(received.part.data in tlv.value for tlv in sm.tlvs)
