"""Any text, cut anyhow, in any order, comes back whole; any writing of a mobile number is found."""

import re
from datetime import UTC, datetime

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from qibai.core.text import (
    BadText,
    Concat,
    Encoding,
    Part,
    decode,
    encode,
    find_numbers,
    fitting,
    join,
    mask,
    pack7,
    read_udh,
    split,
    unpack7,
    write_udh,
)

_GSM = decode(Part(bytes(code for code in range(0x80) if code != 0x1B), Encoding.GSM7)) + "\f^{}\\[~]|€"
_TEXTS = {
    Encoding.GSM7: st.text(st.sampled_from(_GSM)),
    Encoding.LATIN1: st.text(st.characters(max_codepoint=0xFF)),
    Encoding.UCS2: st.text(),
    Encoding.GBK: st.text(),
}


@st.composite
def _written(draw: st.DrawFn) -> tuple[str, Encoding]:
    encoding = draw(st.sampled_from(list(_TEXTS)))
    return draw(_TEXTS[encoding]) * draw(st.sampled_from([1, 1, 20, 100])), encoding


@given(_written())
def test_a_text_comes_back_from_its_encoding(written: tuple[str, Encoding]) -> None:
    text, encoding = written
    assert decode(Part(encode(text, encoding), encoding)) == text


@given(st.text())
@example("\ufffe")
def test_every_text_has_a_fitting_encoding(text: str) -> None:
    assert decode(Part(encode(text, fitting(text)), fitting(text))) == text


@given(_written(), st.booleans(), st.booleans(), st.integers(0, 0xFFFF), st.data())
def test_any_order_of_parts_with_duplicates_comes_back_whole(
    written: tuple[str, Encoding], wide: bool, header: bool, ref: int, data: st.DataObject
) -> None:
    text, encoding = written
    parts = split(text, encoding, wide=wide, header=header, ref=ref)
    again = data.draw(st.lists(st.sampled_from(parts), max_size=5))
    came = data.draw(st.permutations(parts + again))
    assert decode(join(came)) == text
    for part in parts:
        decode(part)  # none ends within a character
        if part.concat is not None and header:
            assert read_udh(write_udh(part.concat) + part.data) == (part.concat, part.data)
            octets = part.data if encoding is not Encoding.GSM7 else pack7(part.data)
            assert len(write_udh(part.concat)) + len(octets) <= 140


@given(st.binary(max_size=1000), st.sampled_from(Encoding), st.booleans())
def test_any_bytes_come_back_whole(data: bytes, encoding: Encoding, wide: bool) -> None:
    assert join(split(data, encoding, wide=wide)[::-1]).data == data


@given(st.lists(st.integers(0, 127)).map(bytes), st.integers(0, 6))
def test_packed_septets_come_back(septets: bytes, fill: int) -> None:
    assert unpack7(pack7(septets, fill), len(septets), fill) == septets


@given(st.binary(max_size=160))
def test_any_header_is_read_or_refused(data: bytes) -> None:
    try:
        concat, rest = read_udh(data)
    except BadText:
        return
    assert data.endswith(rest)
    assert concat is None or 1 <= concat.seq <= concat.total


@given(st.builds(Concat, st.integers(0, 255), st.just(255), st.integers(1, 255)), st.binary(max_size=20))
def test_a_header_comes_back(concat: Concat, data: bytes) -> None:
    assert read_udh(write_udh(concat) + data) == (concat, data)


_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC)
_MOBILE = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True, alphabet=st.characters(codec="ascii"))
_WAYS = [
    "0123456789",
    "０１２３４５６７８９",
    "〇一二三四五六七八九",
    "零壹贰叁肆伍陆柒捌玖",
    "零幺两三四五六拐八勾",
]
_WAYS += ["⓪①②③④⑤⑥⑦⑧⑨", "٠١٢٣٤٥٦٧٨٩", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗", "〇壹貳參肆伍陸柒捌玖"]
_UNSEEN = ["", "", "\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\ufe0f\u20e3"]
_BETWEEN = ["", "", "", " ", "-", ".", " - ", "\u3000", "—", "·", "_", "/", "。", "~", "\n", "("]
_PREFIX = ["", "+86", "0086", "86", "＋86 ", "+86-", "0", "(+86)"]
_DATE = re.compile(r"(19|20)[0-9]{2}([-./])[0-9]{1,2}\2[0-9]|[0-9]([-./])[0-9]{1,2}\3(19|20)[0-9]{2}")
#: Ways to write digits that nobody can tell from an address, an amount, or a list of round figures.
_OTHER = re.compile(r"[0-9]+(\.[0-9]+){3}|[0-9]{10}\.[0-9]|[0-9]{3,5}([^0-9])[0-9]{3,5}\2[0-9]{3,5}")
#: A version that stands apart: V1.3.0 0.0.0 may go on as a list of versions.
_VERSION = re.compile(r"[vV][0-9]{1,2}(\.[0-9]{1,2}){1,2}(?![0-9.])")
#: A longer run that begins with a carrier's prefix, or that is made of numbers.
_MADE_OF_NUMBERS = re.compile(r"(?:1(?:79|25|18|01)[0-9]{2,3}|0)?(?:1[3-9][0-9]{9}){1,2}|86.*")


@st.composite
def _writing(draw: st.DrawFn) -> tuple[str, str]:
    """A number and one way to write it."""
    number = draw(_MOBILE)
    ways = draw(st.lists(st.sampled_from(_WAYS), min_size=1, max_size=3))
    between = draw(st.lists(st.sampled_from(_BETWEEN), min_size=1, max_size=3))
    written = draw(st.sampled_from(_PREFIX))
    for at, digit in enumerate(number):
        if at:
            written += draw(st.sampled_from(_UNSEEN)) + draw(st.sampled_from(between))
        written += draw(st.sampled_from(ways))[int(digit)]
    assume(not _DATE.search(written) and not _OTHER.search(written))
    return number, written


@settings(max_examples=500)
@given(
    _writing(),
    st.sampled_from(["", "电话：", "call me: ", "我的号码是", "唯一", "V", "2: "]),
    st.sampled_from(["", "。", "谢谢", " ok", " x 2"]),
)
@example(("13800138000", "一三八〇〇一三八〇〇〇"), "", "")
@example(("13800138000", "138 0013 8000"), "", "")
@example(("13000000000", "1.3.0\u200b.0.0.0\u200b.0.0.0\u200b.0.0"), "V", "")
@example(("13000000000", "1.30.0.０ 0.0.0.０.0.0"), "", "")
@example(("13010010000", "130 100 10\u200b000"), "", "")
@example(("13900000000", "0\u200b1.3.9\u200b.0.0.0.0.0.0\u200b.0.0"), "", " ok")
def test_any_writing_of_a_mobile_number_is_found(writing: tuple[str, str], before: str, after: str) -> None:
    number, written = writing
    text = before + written + after
    assume(not _VERSION.search(text))
    assert number in {span.national for span in find_numbers(text)}
    hidden = mask(text)
    assert find_numbers(hidden) == []
    assert hidden.startswith(before.rstrip("一2: "))  # a digit before may be read as the number's first
    assert hidden.endswith(after)


@given(st.text(st.sampled_from("0123456789一二三〇 -.,:/+年元A\u200b"), max_size=60))
def test_masking_leaves_no_number_and_touches_nothing_else(text: str) -> None:
    assert find_numbers(mask(text)) == []
    if not find_numbers(text):
        assert mask(text) == text


@given(
    st.from_regex(r"700[0-9]{12}", fullmatch=True, alphabet=st.characters(codec="ascii")),
    st.sampled_from(["", " ", "-"]),
)
def test_700_numbers_are_none(number: str, between: str) -> None:
    pieces = (number[:3], number[3:7], number[7:11], number[11:])
    assert find_numbers(between.join(pieces)) == []


@given(st.from_regex(r"[1-9][0-9]{15,24}", fullmatch=True, alphabet=st.characters(codec="ascii")))
def test_longer_runs_of_digits_are_none(number: str) -> None:
    assume(not _MADE_OF_NUMBERS.match(number))
    assert find_numbers(f"订单号{number}。") == []


@given(
    st.datetimes(_FIRST.replace(tzinfo=None), _LAST.replace(tzinfo=None)),
    st.sampled_from(
        ["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y", "%Y年%m月%d日 %H:%M", "%Y%m%d%H%M%S"]
    ),
)
def test_dates_are_none(moment: datetime, form: str) -> None:
    assert find_numbers(moment.strftime(form)) == []


@given(st.integers(0, 10**14), st.sampled_from(["¥{:,}", "{:,}元", "共 {:,}.50 元", "${:,}.00"]))
def test_amounts_are_none(amount: int, form: str) -> None:
    assert find_numbers(form.format(amount)) == []
