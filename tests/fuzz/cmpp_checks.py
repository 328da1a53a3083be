"""What reading any octets as CMPP must satisfy, for tests by property and by fuzzing alike."""

from contextlib import suppress
from datetime import UTC, datetime

from qibai.messaging.cmpp.counts import read_counts, read_query, write_counts, write_query
from qibai.messaging.cmpp.mapping import read_delivered, read_receipt, read_submitted
from qibai.messaging.cmpp.pdu import (
    Deliver,
    read_connect,
    read_connect_resp,
    read_deliver,
    read_report,
    read_result,
    read_submit,
    write_connect,
    write_connect_resp,
    write_deliver,
    write_result,
    write_submit,
)
from qibai.messaging.cmpp.wire import HEADER, MAX_PDU, V2, V3, CmppWire, frames
from qibai.messaging.link import Received
from qibai.messaging.stream.session import BadPdu

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def check(data: bytes) -> None:
    """Read a stream as a session does: nothing but BadPdu is raised, and little is kept."""
    buffer = bytearray(data)
    with suppress(BadPdu):
        for frame in frames(buffer):
            assert HEADER.size <= len(frame) <= MAX_PDU
            _check_body(frame[HEADER.size :])
            for version in (V2, V3):
                answer = CmppWire(version).refusal(frame, 9)
                assert list(frames(bytearray(answer))) == [answer]
        assert len(buffer) < MAX_PDU


def _check_body(body: bytes) -> None:
    """As every kind of PDU; what is read and written again reads the same."""
    with suppress(BadPdu):
        assert write_connect(read_connect(body))[6:] == body[6:]
    with suppress(BadPdu):
        layout = V3 if len(body) == 21 else V2
        assert write_connect_resp(read_connect_resp(body), layout) == body
    with suppress(BadPdu):
        assert write_result(read_result(body), V3 if len(body) == 12 else V2) == body
    with suppress(BadPdu):
        assert write_query(read_query(body))[:19] == body[:19]
    with suppress(BadPdu):
        assert write_counts(*read_counts(body)) == body
    for version in (V2, V3):
        with suppress(BadPdu):
            submit = read_submit(body, version)
            assert read_submit(write_submit(submit, version), version) == submit
            _check_received(read_submitted(submit, "link", 1, NOW), submit.content)
        with suppress(BadPdu):
            deliver = read_deliver(body, version)
            assert read_deliver(write_deliver(deliver, version), version) == deliver
            _check_report(deliver.content)
            _check_received(read_delivered(deliver, "link", 1, NOW), deliver.content)
    _check_report(body)


def _check_report(content: bytes) -> None:
    with suppress(BadPdu):
        receipt = read_receipt(read_report(content), Deliver(1, "", "", content), NOW)
        if receipt is not None:
            assert 0 < len(receipt.ref) <= 64 and receipt.ref.isascii()
            assert len(receipt.error) <= 16 and (receipt.error == "" or receipt.error.isalnum())
            assert receipt.at == NOW


def _check_received(received: Received, content: bytes) -> None:
    concat = received.part.concat
    assert concat is None or 1 <= concat.seq <= concat.total <= 255
    assert received.valid_until is None or received.valid_until.tzinfo is not None
    assert received.part.data in content
    assert 0 < len(received.ref) <= 64
