"""Delivery receipts as message centres write them, and as we do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import smpp34

from qibai.core.messages import MessageState
from qibai.messaging.link import Receipt, Report
from qibai.messaging.smpp.receipts import is_receipt, read_receipt, write_report
from qibai.messaging.stream.ids import ReceiptIds, as_answered

NOW = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
ENDS = ("13800138000", "700000000010001")
ID, STATE, ERROR, PAYLOAD = 0x001E, 0x0427, 0x0423, 0x0424


def _receipt(text: bytes, *tlvs: tuple[int, bytes], esm_class: int = 4) -> smpp34.DeliverSm:
    return smpp34.DeliverSm(
        source_addr="13800138000",
        destination_addr="700000000010001",
        short_message=text,
        esm_class=esm_class,
        tlvs=[smpp34.Tlv(tag, value) for tag, value in tlvs],
    )


def _read(pdu: smpp34.DeliverSm, ids: ReceiptIds = "same") -> Receipt | None:
    assert is_receipt(pdu)
    return read_receipt(pdu, ids, NOW)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (b"id:8 stat:DELIVRD", True),
        (b" id:8 stat:UNDELIV err:069", True),
        (b"ID:8,STAT:delivrd", True),
        (b"id:0654354026 submit date:2302101454 done date:2302101454 stat:DELIVRD err:000", True),
        (b"err:000 done date:2302101454 stat:DELIVRD id:8", True),
        (b"the parcel has id:8 stat:DELIVRD", False),
        (b"id:8 stat:good", False),
        (b"id:8 please", False),
        (b"stat:DELIVRD", False),
    ],
)
def test_a_receipt_is_one_whatever_its_type_says(text: bytes, is_one: bool) -> None:
    """What a person writes goes to the other party; what a message centre writes never does."""
    assert is_receipt(_receipt(text, esm_class=0)) is is_one
    assert is_receipt(_receipt(text, esm_class=4))


@pytest.mark.parametrize(
    "said",
    [
        "stat:UNDELIV err:13900139000",
        "stat:UNDELIV err:+86 139-0013-9000",
        "stat:UNDELIV err:E1390013X9000",
        "stat:UNDELIV err:0139000",
        "stat:ESME_R13900139000 err:000",
        "stat:ESME_RINV13900139 err:13900139",
    ],
)
def test_an_error_never_holds_a_number(said: str) -> None:
    """It goes to the sender's side: the receiver's number is nothing that it may say."""
    receipt = _read(_receipt(f"id:8 sub:001 dlvrd:001 {said} text:".encode()))
    assert receipt is None or receipt.error == ""


@pytest.mark.parametrize(
    ("stat", "state"),
    [
        ("DELIVRD", MessageState.DELIVERED),
        ("EXPIRED", MessageState.EXPIRED),
        ("UNDELIV", MessageState.REJECTED),
        ("DELETED", MessageState.REJECTED),
        ("REJECTD", MessageState.REJECTED),
        ("UNKNOWN", MessageState.UNKNOWN),
    ],
)
def test_the_text_form(stat: str, state: MessageState) -> None:
    text = (
        f"id:7F00-a sub:001 dlvrd:001 submit date:2611241600 done date:2611241615 stat:{stat} err:012 "
        "text:id:9 stat:DELIVRD"
    )
    assert _read(_receipt(text.encode())) == Receipt(
        "7f00-a",
        state,
        NOW,
        "012",
        stated_at=datetime(2026, 11, 24, 8, 15, tzinfo=UTC),
        ends=ENDS,
    )


@pytest.mark.parametrize("stat", ["ENROUTE", "ACCEPTD", "WHATEVR", ""])
def test_a_message_on_its_way_is_no_news(stat: str) -> None:
    found = _read(_receipt(f"id:1 stat:{stat} err:000 text:".encode()))
    assert (found is None) == (stat in ("WHATEVR", ""))  # those are counted as unread
    assert found is None or not found.state.is_final


def test_parameters_say_it_without_text_and_before_it() -> None:
    tlvs = (ID, b"abc\0"), (STATE, b"\x05"), (ERROR, b"\x03\x00\x1b")
    assert _read(_receipt(b"", *tlvs, esm_class=0)) == Receipt(
        "abc", MessageState.REJECTED, NOW, "27", ends=ENDS
    )
    assert _read(_receipt(b"id:xyz stat:DELIVRD text:", *tlvs)) == Receipt(
        "abc", MessageState.REJECTED, NOW, "27", ends=ENDS
    )


def test_the_text_may_stand_in_message_payload() -> None:
    found = _read(_receipt(b"", (PAYLOAD, b"id:1 stat:DELIVRD err:000 text:")))
    assert found == Receipt("1", MessageState.DELIVERED, NOW, "", ends=ENDS)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"id: stat:DELIVRD",
        b"id:" + b"x" * 65 + b" stat:DELIVRD",
        b"stat:DELIVRD",
        b"\xff\x00\x80",
        b"text:id:1",
    ],
)
def test_what_names_no_message_is_no_receipt(text: bytes) -> None:
    assert _read(_receipt(text)) is None


@pytest.mark.parametrize("done", ["2611241615", "261124161500", "202611241615", "20261124161500"])
def test_dates_with_seconds_or_century(done: str) -> None:
    found = _read(_receipt(f"id:1 done date:{done} stat:DELIVRD err:0".encode()))
    assert found is not None and (found.at, found.stated_at) == (
        NOW,
        datetime(2026, 11, 24, 8, 15, tzinfo=UTC),
    )


def test_an_impossible_date_is_now() -> None:
    found = _read(_receipt(b"id:1 done date:2613991615 stat:DELIVRD err:0"))
    assert found is not None and (found.at, found.stated_at) == (NOW, None)


@pytest.mark.parametrize(
    ("ids", "answered", "receipted"),
    [
        ("same", "00Af", "00Af"),
        ("decimal", "00Af", "175"),
        ("decimal", "af", "0000000175"),
        ("hex", "0175", "AF"),
        ("hex", "175", "000000af"),
        ("decimal", "not-a-number", "not-a-number"),
    ],
)
def test_ids_answered_in_one_base_and_reported_in_another(
    ids: ReceiptIds, answered: str, receipted: str
) -> None:
    found = _read(_receipt(f"id:{receipted} stat:DELIVRD err:0".encode()), ids)
    assert found is not None and found.ref == as_answered(answered, ids)


@pytest.mark.parametrize("state", [state for state in MessageState if state.is_final])
@pytest.mark.parametrize("error", ["", "012", "MK0001"])
def test_what_we_write_is_what_we_read(state: MessageState, error: str) -> None:
    receipt = Receipt("104999888777666555", state, NOW - timedelta(minutes=5), error)
    text, tlvs = write_report(Report(receipt, "700000000010001", "+8613800138000", NOW - timedelta(hours=1)))
    assert text.endswith(b" text:")
    alone = smpp34.DeliverSm(source_addr="", destination_addr="", esm_class=4, short_message=text)
    read = replace(receipt, at=NOW, stated_at=receipt.at, ends=("", ""))
    assert _read(alone) == read
    both = smpp34.DeliverSm(source_addr="", destination_addr="", esm_class=4, short_message=text, tlvs=tlvs)
    assert _read(both) == read
