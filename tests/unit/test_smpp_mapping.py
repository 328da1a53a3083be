"""Messages as SMPP writes them and as the gateway knows them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import smpp34

from qibai.config import MessageLink
from qibai.core.text import Concat, Encoding, Part
from qibai.messaging.link import Outgoing, Received
from qibai.messaging.smpp.coding import DATA_CODING, encoding_of
from qibai.messaging.smpp.mapping import Writer, read_message, read_sm
from qibai.messaging.smpp.status import Status
from qibai.messaging.smpp.wire import Command, as_submit, pdu
from qibai.messaging.stream.session import BadPdu
from qibai.messaging.stream.times import read_time, write_validity

NOW = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
SAR_REF, SAR_TOTAL, SAR_SEQ, PAYLOAD = 0x020C, 0x020E, 0x020F, 0x0424


def _submit(**fields: Any) -> smpp34.SubmitSm:
    given = {"source_addr": "13800138000", "destination_addr": "700000000010001", "short_message": b"hi"}
    given |= fields
    given["tlvs"] = [smpp34.Tlv(tag, value) for tag, value in given.get("tlvs", [])]
    return smpp34.SubmitSm(**given)


def _read(**fields: Any) -> Received:
    return read_message(read_sm(_submit(**fields).encode()), "peer", "1", NOW)


def _link(**fields: Any) -> MessageLink:
    return MessageLink(name="peer", protocol="smpp", **fields)


def _outgoing(part: Part) -> Outgoing:
    return Outgoing(1, 2, "700000000010001", "+8613800138000", part, NOW + timedelta(hours=1))


def _written(part: Part, sm: type[Any] = smpp34.SubmitSm, **link: Any) -> Any:
    return read_sm(Writer(_link(**link), sm).message(_outgoing(part), NOW))


@pytest.mark.parametrize(
    ("data_coding", "encoding"),
    [
        (0x00, Encoding.GSM7),
        (0x01, Encoding.LATIN1),
        (0x03, Encoding.LATIN1),
        (0x04, Encoding.BINARY),
        (0x08, Encoding.UCS2),
        (0x0F, Encoding.GBK),
        (0x10, Encoding.GSM7),  # class 0
        (0x18, Encoding.UCS2),  # class 0
        (0xF0, Encoding.GSM7),
        (0xF1, Encoding.GSM7),
        (0xF5, Encoding.BINARY),
        (0xC8, Encoding.GSM7),
        (0xE0, Encoding.UCS2),
    ],
)
def test_data_codings(data_coding: int, encoding: Encoding) -> None:
    assert _read(data_coding=data_coding).part == Part(b"hi", encoding)


def test_ascii_with_the_default_alphabets_letters_is_the_default_alphabet() -> None:
    assert _read(data_coding=1, short_message=b"a@b.cn\r\n").part.encoding is Encoding.LATIN1
    assert _read(data_coding=1, short_message=b"a\x00b.cn").part.encoding is Encoding.GSM7
    assert _read(data_coding=1, short_message=b"5 \x1be").part.encoding is Encoding.GSM7


@pytest.mark.parametrize("data_coding", [0x05, 0x06, 0x0D, 0x20, 0x1C, 0x90])
def test_a_coding_that_we_cannot_read_is_refused(data_coding: int) -> None:
    with pytest.raises(BadPdu) as refused:
        _read(data_coding=data_coding)
    assert refused.value.status is Status.RINVMSGLEN


@pytest.mark.parametrize("encoding", list(Encoding))
def test_every_encoding_is_read_as_it_was_written(encoding: Encoding) -> None:
    assert encoding_of(DATA_CODING[encoding]) is encoding
    assert read_message(_written(Part(b"ab", encoding)), "peer", "1", NOW).part == Part(b"ab", encoding)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("long", ["udh8", "udh16", "sar", "payload"])
def test_a_part_keeps_its_place(long: str, wide: bool) -> None:
    part = Part(b"x" * 134, Encoding.GSM7, Concat(200, 3, 2, wide))
    sm = _written(part, long=long)
    found = read_message(sm, "peer", "1", NOW).part
    assert found.data == part.data
    assert found.concat is not None and (found.concat.ref, found.concat.total, found.concat.seq) == (
        200,
        3,
        2,
    )
    assert bool(sm.esm_class & 0x40) == (long != "sar")
    assert bool(sm.tlvs) == (long == "sar")


def test_a_long_text_as_message_payload() -> None:
    part = Part(b"x" * 3000, Encoding.UCS2)
    sm = _written(part, long="payload")
    assert sm.short_message == b"" and [(tlv.tag, tlv.value) for tlv in sm.tlvs] == [(PAYLOAD, part.data)]
    assert read_message(sm, "peer", "1", NOW).part == part


def test_udh_inside_message_payload() -> None:
    found = _read(short_message=b"", esm_class=0x43, tlvs=[(PAYLOAD, b"\x05\0\x03\x07\x02\x01" + b"y" * 300)])
    assert found.part == Part(b"y" * 300, Encoding.GSM7, Concat(7, 2, 1))


@pytest.mark.parametrize(
    "fields",
    [
        {"esm_class": 0x40, "short_message": b"\x09\x00"},
        {"esm_class": 0x40, "short_message": b""},
        {"esm_class": 0x04},
        {"esm_class": 0x08},
        {"tlvs": [(PAYLOAD, b"twice")]},
        {"tlvs": [(SAR_REF, b"\0\1"), (SAR_TOTAL, b"\2"), (SAR_SEQ, b"\3")]},
        {"schedule_delivery_time": "000000010000000R"},
        {"replace_if_present_flag": 1},
        {"validity_period": "tomorrow"},
        {"validity_period": "261399000000000+"},
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadPdu):
        _read(**fields)


def test_parameters_that_cannot_be_read_are_refused_and_a_few_octets_too_many_are_not() -> None:
    frame = _submit(tlvs=[(PAYLOAD, b"hello")], short_message=b"").encode()
    broken = pdu(Command.SUBMIT_SM, 1, frame[16:-2])
    with pytest.raises(BadPdu) as refused:
        read_sm(broken)
    assert refused.value.status is Status.RINVOPTPARSTREAM
    assert read_sm(pdu(Command.SUBMIT_SM, 1, frame[16:] + b"\0")).tlvs[0].value == b"hello"


def test_other_parameters_and_header_elements_go_no_further() -> None:
    number = b"13800138000"
    udh = bytes((2 + 2 + len(number) + 1, 0x22, 1 + len(number), 0x81)) + number
    udh = bytes((len(udh) - 1,)) + udh[1:]
    found = _read(
        esm_class=0x40,
        short_message=udh + b"hi",
        tlvs=[(0x0381, b"\x01\x00\x01" + number), (0x0202, number), (0x1400, number), (0x0204, b"\0\1")],
    )
    assert found.part == Part(b"hi", Encoding.GSM7)


@pytest.mark.parametrize(
    ("registered", "receipt", "failures"),
    [(0, False, False), (1, True, False), (2, False, True), (0x11, True, False), (0x0C, False, False)],
)
def test_registered_delivery(registered: int, receipt: bool, failures: bool) -> None:
    found = _read(registered_delivery=registered)
    assert (found.wants_receipt, found.wants_failures) == (receipt, failures)


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("", None),
        ("000000010000000R", NOW + timedelta(hours=1)),
        ("000002000030000R", NOW + timedelta(days=2, seconds=30)),
        ("261124173000000+", datetime(2026, 11, 24, 17, 30, tzinfo=UTC)),
        ("261124173000032+", datetime(2026, 11, 24, 9, 30, tzinfo=UTC)),
        ("261124073000004-", datetime(2026, 11, 24, 8, 30, tzinfo=UTC)),
    ],
)
def test_validity(text: str, until: datetime | None) -> None:
    assert _read(validity_period=text).valid_until == until


@pytest.mark.parametrize("left_s", [1, 59, 3600, 86_399, 86_400, 30 * 86_400])
def test_the_validity_that_we_write_is_what_is_left(left_s: int) -> None:
    until = NOW + timedelta(seconds=left_s)
    assert read_time(write_validity(until, NOW), NOW) == until
    assert read_time(write_validity(NOW - timedelta(hours=1), NOW), NOW) == NOW + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("number_format", "real"), [("national", (2, 1, "13800138000")), ("e164", (1, 1, "8613800138000"))]
)
def test_addresses_as_the_peer_writes_them(number_format: str, real: tuple[int, int, str]) -> None:
    sm = _written(Part(b"hi", Encoding.GSM7), number_format=number_format)
    assert (sm.dest_addr_ton, sm.dest_addr_npi, sm.destination_addr) == real
    assert (sm.source_addr_ton, sm.source_addr_npi, sm.source_addr) == (2, 1, "700000000010001")


def test_addresses_as_they_come() -> None:
    found = _read(source_addr_ton=1, source_addr="8613800138000", dest_addr_ton=2)
    assert (found.source, found.destination) == ("+8613800138000", "700000000010001")
    assert _read(source_addr_ton=5, source_addr="BANK").source == "BANK"
    assert _read(source_addr_ton=1, source_addr="+8613800138000").source == "+8613800138000"


def test_only_a_submit_asks_for_a_receipt_and_has_a_validity() -> None:
    part = Part(b"hi", Encoding.GSM7)
    submit, deliver = _written(part), _written(part, smpp34.DeliverSm)
    assert (submit.registered_delivery, submit.validity_period) == (1, "000000010000000R")
    assert (deliver.registered_delivery, deliver.validity_period) == (0, "")


def test_a_data_sm_is_read_as_a_submit_sm() -> None:
    body = b"\0\x01\x01" + b"8613800138000\0" + b"\x02\x01" + b"700000000010001\0" + bytes((0x00, 0x01, 0x08))
    frame = pdu(Command.DATA_SM, 9, body + b"\x04\x24\x00\x02\x4f\x60")
    found = read_message(read_sm(as_submit(frame)), "peer", "1", NOW)
    assert (found.source, found.destination, found.wants_receipt) == (
        "+8613800138000",
        "700000000010001",
        True,
    )
    assert found.part == Part(b"\x4f\x60", Encoding.UCS2)
    for end in range(len(body)):
        with pytest.raises(BadPdu):
            read_sm(as_submit(pdu(Command.DATA_SM, 9, body[:end])))
