"""Files of codes: what a line may say, and what is said of a bad one."""

import pytest

from qibai.core.codefile import BadLine, CodeLine, FileFormat, read_lines
from qibai.core.errors import BadRequest
from qibai.core.numbering import Code

ONE = Code(10000001)


def csv_lines(*lines: str) -> list[CodeLine | BadLine]:
    return list(read_lines([f"{line}\n" for line in lines], FileFormat.CSV))


def json_lines(*lines: str) -> list[CodeLine | BadLine]:
    return list(read_lines([f"{line}\n" for line in lines], FileFormat.JSONL))


def test_both_formats_say_the_same() -> None:
    wanted = [CodeLine(2, ONE, "C-1", "acme", ("31", "44"))]
    assert csv_lines("code,tenant,certificate,provinces", "70010000001, acme ,C-1,广东 Shanghai") == wanted
    text = '{"code": "70010000001", "certificate": "C-1", "tenant": "acme", "provinces": ["44", "31"]}'
    assert json_lines("", text) == wanted


def test_what_is_left_out_stays_and_what_an_export_adds_is_ignored() -> None:
    assert csv_lines("\ufeffCode,state,set_aside", "70010000001,in_use,False", "") == [CodeLine(2, ONE)]
    assert json_lines('{"code": "70010000001", "tenant": null, "platform": "east"}') == [CodeLine(1, ONE)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("7001000000", "A code is written as 700"),
        ("70010000001,,,Yunnan", "not one of the pilot's"),
        ("70010000001,C-1", "4 columns"),
        ("70010000001,C\0,,", "certificate has to be text"),
        ('70010000001,"C-1,,', "not closed"),
        ('70010000001,C"1,"a,', "not CSV"),
    ],
)
def test_a_bad_csv_line_is_named_and_the_next_is_read(line: str, reason: str) -> None:
    rest = ",,," if line.count(",") == 0 else ""
    bad, good = csv_lines("code,certificate,tenant,provinces", line + rest, "70010000002,,,")
    assert isinstance(bad, BadLine) and bad.number == 2 and reason in bad.reason
    assert isinstance(good, CodeLine) and good.number == 3


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ('{"code": 70010000001}', "code has to be text"),
        ('{"code": "70010000001", "provinces": [44]}', "a list of texts"),
        ('{"code": "70010000001", "owner": "x"}', "unknown: owner"),
        ('{"code": "70010000001", "138 0013 8000": "x"}', "unknown: 138****8000"),
        ("{}", "A code is written as 700"),
    ],
)
def test_a_bad_json_line_is_named(line: str, reason: str) -> None:
    (bad,) = json_lines(line)
    assert isinstance(bad, BadLine) and reason in bad.reason


def test_a_code_stands_once_in_a_file() -> None:
    found = csv_lines("code", "70010000001", "70010000002", "70010000001")
    assert found[2] == BadLine(4, "this code stands on line 2 already")


@pytest.mark.parametrize("header", ['code,"tenant', '"code"x'])
def test_a_header_that_is_no_csv_is_refused(header: str) -> None:
    with pytest.raises(BadRequest, match="the first line: "):
        csv_lines(header, "70010000001", '70010000002"')


@pytest.mark.parametrize("header", ["", "number,tenant", "code,code", "code,owner"])
def test_a_header_that_is_none_is_refused(header: str) -> None:
    with pytest.raises(BadRequest, match="the first line names the columns"):
        csv_lines(header, "70010000001")


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    """Some programs put it before JSON as before CSV."""
    text = '{"code": "70010000001"}'
    assert json_lines(f"\ufeff{text}") == [CodeLine(1, ONE)]
    assert csv_lines("\ufeffcode", "70010000001") == [CodeLine(2, ONE)]
