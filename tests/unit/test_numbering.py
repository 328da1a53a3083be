"""Numbers: what is read, how it is written, and what is refused with which code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qibai.core.errors import (
    BadCode,
    BadNumber,
    BadNumber700,
    BadProvince,
    ForeignDigits,
    ForeignNumber,
    MiddleNumberAsParty,
    NotMobile,
)
from qibai.core.numbering import (
    PILOT_PROVINCES,
    Code,
    Msisdn,
    Number700,
    parse_codes,
    parse_province,
    ranges_of,
)

MOBILE = "+8613800138000"


@pytest.mark.parametrize(
    "text",
    [
        "+8613800138000",
        "13800138000",
        "008613800138000",
        "8613800138000",
        "138 0013 8000",
        "138-0013-8000",
        "+86 138-0013-8000",
        "+86 (138) 00138000",
        " +8613800138000 ",
        "+86\u00a013800138000",
    ],
)
def test_a_mobile_number_is_read_in_any_usual_writing(text: str) -> None:
    assert Msisdn.parse(text).e164 == MOBILE


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", BadNumber),
        ("+", BadNumber),
        ("abc", BadNumber),
        ("1380013800", BadNumber),
        ("138001380000", BadNumber),
        ("+86138001380001", BadNumber),
        ("13800138000\nX", BadNumber),
        ("1380013800x", BadNumber),
        ("13800138000\n", BadNumber),
        ("\t13800138000", BadNumber),
        ("138\x0000138000", BadNumber),
        ("-13800138000", BadNumber),
        (" - 13800138000", BadNumber),
        ("tel:+8613800138000", BadNumber),
        ("+8613800138000;ext=1", BadNumber),
        ("++8613800138000", BadNumber),
        ("1" * 41, BadNumber),
        ("１３８００１３８０００", ForeignDigits),
        ("+86１３８００１３８０００", ForeignDigits),
        ("١٣٨٠٠١٣٨٠٠٠", ForeignDigits),
        ("1380013800०", ForeignDigits),
        ("一三八〇〇一三八〇〇〇", BadNumber),
        ("+14155552671", ForeignNumber),
        ("+85291234567", ForeignNumber),
        ("+85366123456", ForeignNumber),
        ("+886912345678", ForeignNumber),
        ("0014155552671", ForeignNumber),
        ("+447911123456", ForeignNumber),
        ("700123456780042", MiddleNumberAsParty),
        ("+86700123456780042", MiddleNumberAsParty),
        ("0086700123456780042", MiddleNumberAsParty),
        ("700 1234 5678 0042", MiddleNumberAsParty),
        ("010-62301234", NotMobile),
        ("+861062301234", NotMobile),
        ("075512345678", NotMobile),
        ("4008123123", NotMobile),
        ("+8612345678901", NotMobile),
    ],
)
def test_other_numbers_are_refused_with_their_own_error(text: str, error: type[BadNumber]) -> None:
    with pytest.raises(BadNumber) as caught:
        Msisdn.parse(text, field="a")
    assert type(caught.value) is error
    assert caught.value.field == "a"


@pytest.mark.parametrize("text", ["13800138000", "１３８００１３８０００", "+14155552671", "700123456780042"])
def test_no_error_repeats_the_number(text: str) -> None:
    try:
        Msisdn.parse(text)
    except BadNumber as exc:
        assert text not in repr(exc) + str(exc)


def test_each_refusal_has_a_code_of_its_own() -> None:
    kinds = [BadNumber, BadNumber700, BadCode, ForeignNumber, MiddleNumberAsParty, NotMobile, ForeignDigits]
    assert len({kind.code for kind in kinds}) == len(kinds)


def test_a_mobile_number_hides_itself() -> None:
    number = Msisdn.parse(MOBILE)
    assert str(number) == MOBILE
    assert number.national == "13800138000"
    assert number.masked == "138****8000"
    assert "00138" not in repr(number)
    assert "00138" not in repr([number])


@given(st.integers(3, 9), st.integers(0, 999_999_999))
def test_every_mainland_mobile_number_is_read(second: int, rest: int) -> None:
    national = f"1{second}{rest:09d}"
    for text in (national, f"+86{national}", f"0086{national}", f"+86 {national[:3]} {national[3:]}"):
        assert Msisdn.parse(text).e164 == f"+86{national}"


@given(st.text(max_size=60))
def test_any_text_is_read_as_a_mainland_mobile_or_refused(text: str) -> None:
    try:
        number = Msisdn.parse(text)
    except BadNumber:
        return
    assert number.e164.startswith("+861")
    assert len(number.e164) == 14
    assert number.e164[1:].isascii()
    assert number.e164[1:].isdigit()


@given(st.integers(0, 99_999_999), st.integers(0, 9_999))
def test_a_700_number_is_written_as_it_is_read(code: int, serial: int) -> None:
    number = Number700(Code(code), serial)
    assert len(str(number)) == 15
    assert Number700.parse(str(number)) == number == Code(code).number(serial)
    assert Code.parse(str(number.code)) == number.code


def test_the_parts_of_a_code() -> None:
    code = Code.parse("70012345678")
    assert (code.value, code.carrier, code.platform) == (12345678, 1, 2345678)
    assert str(Code.parse("70000000000")) == "70000000000"
    assert str(code.number(7)) == "700123456780007"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "70012345678004",
        "7001234567800422",
        "701123456780042",
        "+86700123456780042",
        "700123456780042\n",
        "７００１２３４５６７８００４２",
        "70012345678004x",
        "700 123456780042",
    ],
)
def test_what_is_no_700_number_is_refused(text: str) -> None:
    with pytest.raises(BadNumber700):
        Number700.parse(text)


@pytest.mark.parametrize(
    "text", ["", "7001234567", "700123456789", "80012345678", "70012345678\n", "７0012345678"]
)
def test_what_is_no_code_is_refused(text: str) -> None:
    with pytest.raises(BadCode):
        Code.parse(text)


def test_the_pilot_has_eleven_provinces() -> None:
    assert len({province.code for province in PILOT_PROVINCES}) == 11


@pytest.mark.parametrize("text", ["44", "440000", "广东", "广东省", "Guangdong", " guangdong "])
def test_a_province_is_found_by_code_and_name(text: str) -> None:
    assert parse_province(text).code == "44"


def test_a_municipality_is_found_with_its_ending() -> None:
    assert parse_province("北京市") == parse_province("11")


@pytest.mark.parametrize("text", ["", "99", "西藏", "Tibet", "4", "44 0000"])
def test_other_provinces_are_refused(text: str) -> None:
    with pytest.raises(BadProvince):
        parse_province(text)


def test_codes_are_read_and_written_as_ranges() -> None:
    texts = ["70010000005", "70010000001-70010000003", "70010000004"]
    codes = parse_codes(texts)
    assert [code.value for code in codes] == [10_000_005, 10_000_001, 10_000_002, 10_000_003, 10_000_004]
    assert ranges_of(codes) == ["70010000001-70010000005"]
    assert ranges_of(parse_codes(["70010000001", "70010000003"])) == ["70010000001", "70010000003"]
    assert ranges_of([]) == []


@pytest.mark.parametrize(
    "texts",
    [
        ["70010000002-70010000001"],
        ["70010000001-70010100001"],
        ["70010000000-70010099999", "70020000000"],
        ["70010000001-"],
        ["-"],
        [""],
    ],
)
def test_what_is_no_range_is_refused(texts: list[str]) -> None:
    with pytest.raises(BadCode):
        parse_codes(texts)
