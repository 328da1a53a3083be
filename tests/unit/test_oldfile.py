"""Exports of old bindings: our own shape, each vendor's, and what is said of lines that cannot be taken."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from qibai.core.codefile import FileFormat
from qibai.core.errors import BadRequest
from qibai.core.existing import OldMode
from qibai.core.oldfile import BadOldLine, OldLine, OrderFrom, Reading, Shape, read_lines

A, B = "13800138000", "13900139000"
X, Y = "17012345678", "17112345678"
END = datetime(2026, 12, 31, 4, 0, tzinfo=UTC)
ALIYUN = {
    "SubsId": "1000053928912",
    "PhoneNoA": A,
    "PhoneNoX": X,
    "PhoneNoB": B,
    "ExpireDate": "2026-12-31 12:00:00",
    "GmtCreate": "2026-11-01 12:00:00",
    "NeedRecord": False,
    "Status": 1,
    "OutId": "order-1",
}
HUAWEI = {
    "subscriptionId": "sub-1",
    "relationNum": f"+86{X}",
    "callerNum": f"+86{A}",
    "calleeNum": f"+86{B}",
    "callDirection": 0,
    "duration": 86_400,
    "subscribeTime": "2026-12-30T04:00:00Z",
    "maxDuration": 30,
    "userData": "order-1",
}
VOLCENGINE = {
    "SubId": "S1632",
    "PhoneNoX": X,
    "PhoneNoA": A,
    "PhoneNoB": B,
    "ExpireTime": str(int(END.timestamp())),
    "Status": 1,
    "OutId": "order-1",
}
TENCENT = {
    "Request": {"Src": f"0086{A}", "Dst": f"0086{B}", "BizId": "order-1", "MaxAssignTime": "86400"},
    "Response": {"ErrorCode": "0", "BindId": "b-1", "VirtualNum": f"0086{X}"},
    "AssignTime": "2026-12-30T04:00:00Z",
}
OWN = {
    "x": X,
    "a": A,
    "b": B,
    "order_id": "order-1",
    "binding_id": "1",
    "expires_at": "2026-12-31T12:00:00+08:00",
}


def read(*rows: Any, orders: OrderFrom = OrderFrom.OUT_ID, shape: Shape | None = None) -> list[Any]:
    text = [row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows]
    return list(read_lines(text, Reading(FileFormat.JSONL, orders, shape)))


def csv(*lines: str) -> list[Any]:
    return list(read_lines([line + "\n" for line in lines], Reading(FileFormat.CSV)))


def only(*rows: Any, **how: Any) -> OldLine:
    (line,) = read(*rows, **how)
    assert isinstance(line, OldLine), line
    return line


@pytest.mark.parametrize(
    ("row", "vendor", "id"),
    [
        (OWN, "own", "1"),
        (ALIYUN, "aliyun", "1000053928912"),
        ({"RequestId": "r", "Code": "OK", "SecretBindDetailDTO": ALIYUN}, "aliyun", "1000053928912"),
        (HUAWEI, "huawei", "sub-1"),
        ({"resultcode": "0", "relationNumList": [HUAWEI]}, "huawei", "sub-1"),
        (VOLCENGINE, "volcengine", "S1632"),
        ({"ResponseMetadata": {}, "Result": VOLCENGINE}, "volcengine", "S1632"),
        ({"Result": {"Records": [VOLCENGINE], "Total": 1}}, "volcengine", "S1632"),
        (TENCENT, "tencent", "b-1"),
    ],
)
def test_every_source_says_the_same(row: Any, vendor: str, id: str) -> None:
    line = only(row)
    parties = line.parties
    assert (str(parties.x), str(parties.a), str(parties.b)) == (f"+86{X}", f"+86{A}", f"+86{B}")
    assert (line.vendor, line.vendor_id, line.order_id) == (vendor, id, "order-1")
    assert (line.expires_at, parties.mode) == (END, OldMode.AXB)
    assert line.max_call_s == (1800 if vendor == "huawei" else None)


def test_modes_are_told_by_who_is_there() -> None:
    assert only(VOLCENGINE | {"PhoneNoY": Y}).parties.mode is OldMode.AXYB
    assert only(ALIYUN | {"PhoneNoB": ""}).parties.mode is OldMode.AXN
    assert only(ALIYUN | {"ProductType": "AXN_170"}).parties.mode is OldMode.AXN
    assert only(OWN | {"mode": "AXN"}).parties.mode is OldMode.AXN


def test_a_page_of_bindings_is_one_line() -> None:
    first, second = read({"relationNumList": [HUAWEI, HUAWEI | {"callerNum": "123"}]})
    assert isinstance(first, OldLine) and isinstance(second, BadOldLine)
    assert (first.number, second.number) == (1, 1) and first.place != second.place


@pytest.mark.parametrize(
    ("good", "change", "code", "word"),
    [
        (ALIYUN, {"Status": 0}, "binding_ended", "ended"),
        (ALIYUN, {"Extension": "130"}, "request_invalid", "extension"),
        (ALIYUN, {"GroupId": 7}, "request_invalid", "group"),
        (ALIYUN, {"PhoneNoA": "+85251234567"}, "number_foreign", "mainland"),
        (ALIYUN, {"ExpireDate": "soon"}, "request_invalid", "ExpireDate"),
        (ALIYUN, {"PhoneNoX": "700123456781234"}, "number_malformed", "x"),
        (ALIYUN, {"PhoneNoB": "700123456781234"}, "number_700_as_party", "b"),
        (ALIYUN, {"PhoneNoB": A}, "party_repeated", "twice"),
        (ALIYUN, {"PhoneNoB": X}, "party_repeated", "own binding"),
        (ALIYUN, {"OutId": ""}, "request_invalid", "order"),
        (ALIYUN, {"OutId": "x" * 65}, "request_invalid", "64"),
        (HUAWEI, {"callDirection": 1}, "request_invalid", "way"),
        (HUAWEI, {"duration": "-1"}, "request_invalid", "duration"),
        (VOLCENGINE, {"Status": 0}, "binding_ended", "ended"),
        (VOLCENGINE, {"ExpireTime": 10**12}, "request_invalid", "ExpireTime"),
        (TENCENT, {"Response": {"ErrorCode": "107"}}, "request_invalid", "never bound"),
        (OWN, {"expires_at": "2026-12-31 12:00:00"}, "request_invalid", "offset"),
        (OWN, {"expires_at": "9999-12-31T23:59:59Z"}, "request_invalid", "to 2105"),
        (OWN, {"scene": "war"}, "request_invalid", "scene"),
        (OWN, {"province": "Atlantis"}, "province_unknown", "province"),
        (OWN, {"colour": "red"}, "request_invalid", "colour"),
        (OWN, {"a": 13800138000.5}, "request_invalid", "text"),
        (OWN, {"order_id": f"t-{A}"}, "number_not_allowed", "name"),
        (ALIYUN, {"OutId": B}, "number_not_allowed", "name"),
        (OWN, {"binding_id": f"86{A}"}, "number_not_allowed", "name"),
        (OWN, {"mode": "AXE"}, "request_invalid", "mode"),
        (OWN, "[1, 2]\n", "request_invalid", "object"),
        (OWN, '{"x": ' + "\n", "request_invalid", "object"),
    ],
)
def test_a_bad_line_is_named_with_its_reason_and_without_its_numbers(
    good: dict[str, Any], change: Any, code: str, word: str
) -> None:
    first, bad = read(good, change if isinstance(change, str) else good | change)
    assert isinstance(first, OldLine) and isinstance(bad, BadOldLine), bad
    assert (bad.number, bad.code) == (2, code)
    assert word.lower() in bad.reason.lower()
    assert not any(number in bad.reason for number in (A, B, X, Y, "51234567", "1234567"))


def test_an_order_can_be_required() -> None:
    (bad,) = read(ALIYUN, orders=OrderFrom.REQUIRED)
    assert isinstance(bad, BadOldLine) and "order" in bad.reason
    assert only(ALIYUN | {"OrderId": "o-2"}, orders=OrderFrom.REQUIRED).order_id == "o-2"
    assert only(ALIYUN | {"OrderId": "o-2"}).order_id == "o-2"


def test_csv_has_the_same_columns_whoever_wrote_it() -> None:
    own, bad = csv("x,a,b,order_id", f"{X},{A},{B},o-1", f"{X},{A}")
    assert isinstance(own, OldLine) and own.order_id == "o-1"
    assert isinstance(bad, BadOldLine) and (bad.number, bad.reason) == (3, "4 columns are needed")
    (line,) = csv('\ufeff"x","a","b","order_id"', f"{X},{A},{B},o-1")
    assert isinstance(line, OldLine)
    (line,) = csv("SubsId,PhoneNoX,PhoneNoA,PhoneNoB,OutId", f"7,{X},{A},{B},o-1")
    assert isinstance(line, OldLine) and line.vendor == "aliyun"


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (f'{X},{A},{B},"o-1', "not closed"),
        (f'"{X},{A},{B},o-1', "not closed"),
        (f'{X},{A},{B},o"1', "not closed"),
        (f'o"1,"{A},{B},{X}', "not CSV"),
        (f'{X},{A},{B},"o-1"2', "not CSV"),
        (f'{X},{A},{B},"' + "o" * 200_000 + '"', "not CSV"),
    ],
)
def test_a_quote_that_nobody_closes_spoils_its_own_line_alone(line: str, word: str) -> None:
    rows = [f"{X},{A},{B},o-{number}" for number in (1, 3, 4)]
    first, bad, *rest = csv("x,a,b,order_id", rows[0], line, *rows[1:])
    assert isinstance(bad, BadOldLine) and (bad.number, bad.code) == (3, "request_invalid")
    assert word in bad.reason and A not in bad.reason
    assert [(one.number, one.order_id) for one in (first, *rest)] == [(2, "o-1"), (4, "o-3"), (5, "o-4")]


def test_each_line_of_a_value_with_a_line_break_is_named() -> None:
    lines = csv("x,a,b,order_id", f'{X},{A},{B},"o', f'{X},{A},{B},1"', f"{X},{A},{B},o-2")
    assert [(one.number, isinstance(one, OldLine)) for one in lines] == [(2, False), (3, False), (4, True)]


def test_nobodys_export_is_refused_whole() -> None:
    with pytest.raises(BadRequest, match="--from"):
        read({"foo": 1})
    with pytest.raises(BadRequest, match="each once"):
        csv("x,x", "1,2")
    with pytest.raises(BadRequest, match="not closed"):
        csv('x,a,b,"order_id', f"{X},{A},{B},o-1", f'{X},{A},{B},o-2"')
    assert read({"foo": 1}, shape=Shape.OWN)[0].code == "request_invalid"
    with pytest.raises(BadRequest, match="name the columns"):
        csv(f"AXB,{X},{A},{B},o-1")  # the only binding is no header


@pytest.mark.parametrize("name", [A, B, f"call {A}", f"{A[:3]} {A[3:7]} {A[7:]}", f"of_my_customer_{A}"])
def test_a_column_that_nobody_knows_shows_no_number(name: str) -> None:
    (bad,) = read(OWN | {name: "x"})
    assert isinstance(bad, BadOldLine) and "unknown columns" in bad.reason
    digits = "".join(one for one in bad.reason if one.isdigit())
    assert A[3:7] not in digits and B[3:7] not in digits


def test_nothing_shows_a_number_by_itself() -> None:
    assert A not in repr(only(OWN)) and X not in repr(only(OWN))


def test_a_byte_order_mark_is_no_part_of_the_first_line_of_json() -> None:
    lines = [f"\ufeff{json.dumps(OWN)}\r\n", f"{json.dumps(OWN)}\n"]
    first, second = read_lines(lines, Reading(FileFormat.JSONL, shape=Shape.OWN))
    assert isinstance(first, OldLine)
    assert isinstance(second, OldLine)
