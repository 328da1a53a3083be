"""CMPP packets put together octet by octet from the specification's tables, read and written by ours."""

import struct

import pytest

from qibai.messaging.cmpp.auth import authenticator_ismg, authenticator_source
from qibai.messaging.cmpp.counts import Counts, Query, read_counts, read_query, write_counts, write_query
from qibai.messaging.cmpp.pdu import (
    Connect,
    ConnectResp,
    Deliver,
    MsgResult,
    StatusReport,
    Submit,
    read_connect,
    read_connect_resp,
    read_deliver,
    read_report,
    read_result,
    read_submit,
    write_connect,
    write_connect_resp,
    write_deliver,
    write_report,
    write_result,
    write_submit,
)
from qibai.messaging.cmpp.wire import V2, V3, CmppWire, Command, frames, pdu
from qibai.testing.cmpp import md5

X, B = "700000000010001", "13900139000"
MSG_ID = 0x5A5B5C5D5E5F6061


def z(text: str, size: int) -> bytes:
    return text.encode() + b"\0" * (size - len(text))


SUBMIT = Submit(
    src_id=X,
    dest_terminal_ids=(B,),
    content="你好".encode("utf-16-be"),
    msg_fmt=8,
    registered_delivery=1,
    msg_level=2,
    service_id="QIBAI",
    fee_user_type=3,
    fee_terminal_id="10086",
    tp_pid=1,
    tp_udhi=0,
    msg_src="901234",
    fee_type="02",
    fee_code="000010",
    valid_time="261124180000032+",
    reserve="link",
)
_SUBMIT_START = (
    bytes(8)  # Msg_Id
    + b"\x01\x01\x01\x02"  # Pk_total, Pk_number, Registered_Delivery, Msg_level
    + z("QIBAI", 10)  # Service_Id
    + b"\x03"  # Fee_UserType
)
_SUBMIT_MIDDLE = (
    b"\x01\x00\x08"  # TP_pId, TP_udhi, Msg_Fmt
    + b"901234"  # Msg_src
    + b"02"  # FeeType
    + b"000010"  # FeeCode
    + z("261124180000032+", 17)  # ValId_Time
    + bytes(17)  # At_Time
    + z(X, 21)  # Src_Id
    + b"\x01"  # DestUsr_tl
)
SUBMIT_2 = (
    _SUBMIT_START
    + z("10086", 21)  # Fee_terminal_Id
    + _SUBMIT_MIDDLE
    + z(B, 21)  # Dest_terminal_Id
    + b"\x04\x4f\x60\x59\x7d"  # Msg_Length, Msg_Content
    + z("link", 8)  # Reserve
)
SUBMIT_3 = (
    _SUBMIT_START
    + z("10086", 32)  # Fee_terminal_Id
    + b"\x00"  # Fee_terminal_type
    + _SUBMIT_MIDDLE
    + z(B, 32)  # Dest_terminal_Id
    + b"\x00"  # Dest_terminal_type
    + b"\x04\x4f\x60\x59\x7d"
    + z("link", 20)  # LinkID
)

DELIVER = Deliver(
    msg_id=MSG_ID,
    dest_id=X,
    src_terminal_id=B,
    content=b"OK",
    msg_fmt=0,
    service_id="QIBAI",
    tp_pid=1,
    tp_udhi=1,
    registered_delivery=0,
    reserve="link",
)
_DELIVER_START = (
    struct.pack(">Q", MSG_ID)
    + z(X, 21)  # Dest_Id
    + z("QIBAI", 10)  # Service_Id
    + b"\x01\x01\x00"  # TP_pid, TP_udhi, Msg_Fmt
)
DELIVER_2 = _DELIVER_START + z(B, 21) + b"\x00" + b"\x02OK" + z("link", 8)
DELIVER_3 = _DELIVER_START + z(B, 32) + b"\x00" + b"\x00" + b"\x02OK" + z("link", 20)

REPORT = StatusReport(MSG_ID, "DELIVRD", "2611241700", "2611241701", B, 77)
_REPORT_START = struct.pack(">Q", MSG_ID) + b"DELIVRD" + b"2611241700" + b"2611241701"
REPORT_2 = _REPORT_START + z(B, 21) + struct.pack(">I", 77)
REPORT_3 = _REPORT_START + z(B, 32) + struct.pack(">I", 77)


@pytest.mark.parametrize(("version", "octets"), [(V2, SUBMIT_2), (V3, SUBMIT_3)])
def test_submit(version: int, octets: bytes) -> None:
    assert write_submit(SUBMIT, version) == octets
    assert read_submit(octets, version) == SUBMIT


@pytest.mark.parametrize(("version", "octets"), [(V2, DELIVER_2), (V3, DELIVER_3)])
def test_deliver(version: int, octets: bytes) -> None:
    assert write_deliver(DELIVER, version) == octets
    assert read_deliver(octets, version) == DELIVER


@pytest.mark.parametrize(("version", "octets", "size"), [(V2, REPORT_2, 60), (V3, REPORT_3, 71)])
def test_report(version: int, octets: bytes, size: int) -> None:
    assert len(octets) == size
    assert write_report(REPORT, version) == octets
    assert read_report(octets) == REPORT


def test_a_report_of_another_length_is_read_as_far_as_it_matters() -> None:
    assert read_report(_REPORT_START) == StatusReport(MSG_ID, "DELIVRD", "2611241700", "2611241701", "")


@pytest.mark.parametrize(("version", "result"), [(V2, b"\x08"), (V3, b"\x00\x00\x00\x08")])
def test_answers_to_submit_and_deliver(version: int, result: bytes) -> None:
    octets = struct.pack(">Q", MSG_ID) + result
    assert write_result(MsgResult(MSG_ID, 8), version) == octets
    assert read_result(octets) == MsgResult(MSG_ID, 8)


def test_authenticators_are_md5_over_what_the_specification_names() -> None:
    # printf '901234\0\0\0\0\0\0\0\0\0secret1124170005' | md5sum
    source = bytes.fromhex("3efe80c43cf328fdef6dfc0c82eb8f71")
    assert authenticator_source("901234", "secret", 1124170005) == source
    # the timestamp has ten digits even in January
    january = md5(b"901234" + bytes(9) + b"secret" + b"0102030405")
    assert authenticator_source("901234", "secret", 102030405) == january
    # printf '\0' + source + 'secret' | md5sum, in 3.0 with four octets of status
    for status in (b"\0", b"\0\0\0\0"):
        expected = md5(status + source + b"secret")
        assert authenticator_ismg(status, source, "secret") == expected


def test_connect() -> None:
    source = bytes(range(16))
    octets = b"901234" + source + b"\x30" + struct.pack(">I", 1124170005)
    connect = Connect("901234", source, V3, 1124170005)
    assert write_connect(connect) == octets
    assert read_connect(octets) == connect


@pytest.mark.parametrize(("layout", "status"), [(V2, b"\x03"), (V3, b"\x00\x00\x00\x03")])
def test_connect_resp(layout: int, status: bytes) -> None:
    resp = ConnectResp(3, bytes(range(16)), V3)
    octets = status + bytes(range(16)) + b"\x30"
    assert write_connect_resp(resp, layout) == octets
    assert read_connect_resp(octets) == resp


def test_query() -> None:
    query = Query(b"20261124", 1, z("QIBAI", 10))
    octets = b"20261124" + b"\x01" + z("QIBAI", 10)
    assert write_query(query) == octets + bytes(8)
    assert read_query(octets + bytes(8)) == query
    counts = Counts(1, 2, 3, 4, 5, 6, 7, 8)
    answer = octets + struct.pack(">8I", *range(1, 9))
    assert write_counts(query, counts) == answer
    assert read_counts(answer) == (query, counts)


def test_headers_and_what_has_no_body() -> None:
    wire = CmppWire(V3)
    assert wire.probe == struct.pack(">III", 12, 8, 0)
    assert wire.leave == struct.pack(">III", 12, 2, 0)
    active = struct.pack(">III", 12, 8, 5)
    assert wire.echo(active) == struct.pack(">IIIB", 13, 0x80000008, 5, 0)
    assert wire.echo(struct.pack(">III", 12, 2, 6)) == struct.pack(">III", 12, 0x80000002, 6)
    assert wire.numbered(active, 9) == struct.pack(">III", 12, 8, 9)
    buffer = bytearray(active + pdu(Command.SUBMIT, 7, SUBMIT_3) + active[:5])
    assert list(frames(buffer)) == [active, struct.pack(">III", 12 + len(SUBMIT_3), 4, 7) + SUBMIT_3]
    assert buffer == active[:5]


@pytest.mark.parametrize(
    ("command", "body", "answer"),
    [
        (Command.SUBMIT, SUBMIT_2, bytes(8) + b"\x02"),
        (Command.DELIVER, DELIVER_2, struct.pack(">Q", MSG_ID) + b"\x02"),
        (Command.CANCEL, bytes(8), b"\x01"),
        (0x10, b"anything", b"\x02"),
    ],
)
def test_what_is_not_offered_is_answered_in_its_own_form(command: int, body: bytes, answer: bytes) -> None:
    expected = struct.pack(">III", 12 + len(answer), 0x80000000 | command, 3) + answer
    assert CmppWire(V2).refusal(pdu(command, 3, body), 2) == expected
