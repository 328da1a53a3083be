"""700 numbers, codes, real mobile numbers and the pilot's provinces: read, write, mask.

Numbering plan: 工信部信管函〔2025〕130号. A 700 number has 15 digits, ``700`` + carrier (1) + platform (7)
+ user serial (4); its first 11 digits are the *code* (码号) that MIIT assigns.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

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

SERIALS_PER_CODE: Final = 10_000
MOST_CODES: Final = 100_000  #: that an act takes at once

_CODE = re.compile(r"700([0-9]{8})")
_NUMBER = re.compile(r"700([0-9]{8})([0-9]{4})")
_NO_NUMBER = re.compile(r"[\x00-\x1f\x7f]|^\s*-")  # controls, and a sign that would be taken for filling
_FILLING = re.compile(r"[ \-()\u00a0]")
_MAINLAND_MOBILE = re.compile(r"\+861[3-9][0-9]{9}")


@dataclass(frozen=True, slots=True, order=True)
class Code:
    """An 11-digit code; ``value`` is its last eight digits as a number, 0 … 99,999,999."""

    value: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise BadCode unless ``text`` is 700 and eight more ASCII digits."""
        found = _CODE.fullmatch(text)
        if found is None:
            raise BadCode
        return cls(int(found[1]))

    @property
    def carrier(self) -> int:
        """The carrier digit."""
        return self.value // 10_000_000

    @property
    def platform(self) -> int:
        """The application platform's id, 0 … 9,999,999."""
        return self.value % 10_000_000

    def __str__(self) -> str:
        return f"700{self.value:08d}"

    def number(self, serial: int) -> "Number700":
        return Number700(self, serial)


def parse_codes(texts: Iterable[str]) -> list[Code]:
    """Codes, and ranges of codes ``FIRST-LAST``. Raise BadCode for what is neither, or for too many codes."""
    codes: list[Code] = []
    for text in texts:
        first, dash, last = text.partition("-")
        begin = Code.parse(first)
        end = Code.parse(last) if dash else begin
        if not begin.value <= end.value < begin.value + MOST_CODES:
            raise BadCode(f"a range goes upwards and holds at most {MOST_CODES} codes", field="codes")
        codes += [Code(value) for value in range(begin.value, end.value + 1)]
        if len(codes) > MOST_CODES:
            raise BadCode(f"at most {MOST_CODES} codes at once", field="codes")
    return codes


def ranges_of(codes: Iterable[Code]) -> list[str]:
    """The same codes as ``parse_codes`` reads them, in order, in as few texts as can be."""
    spans: list[list[Code]] = []
    for code in sorted(set(codes)):
        if spans and code.value == spans[-1][-1].value + 1:
            spans[-1] = [spans[-1][0], code]
        else:
            spans.append([code])
    return ["-".join(map(str, span)) for span in spans]


@dataclass(frozen=True, slots=True, order=True)
class Number700:
    """A 15-digit middle number: a code and a serial, 0 … 9,999."""

    code: Code
    serial: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise BadNumber700 unless ``text`` is 700 and twelve more ASCII digits."""
        found = _NUMBER.fullmatch(text)
        if found is None:
            raise BadNumber700
        return cls(Code(int(found[1])), int(found[2]))

    def __str__(self) -> str:
        return f"{self.code}{self.serial:04d}"


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Msisdn:
    """A mainland mobile number in E.164; ``str`` is the whole number, ``repr`` is masked."""

    e164: str

    @classmethod
    def parse(cls, text: str, *, field: str | None = None) -> Self:
        """Read ``+8613800138000``, ``13800138000``, ``008613…``, with spaces or dashes.

        Raise BadNumber or, where the reason is known, ForeignDigits, MiddleNumberAsParty, ForeignNumber
        or NotMobile. No message repeats the input.
        """
        if len(text) <= 14 and _MAINLAND_MOBILE.fullmatch(text):  # the common case, without a parse
            return cls(text)
        if len(text) > 40 or _NO_NUMBER.search(text):
            raise BadNumber(field=field)
        bare = _FILLING.sub("", text.strip())
        if not bare.isascii():
            if any(ch.isdigit() for ch in bare if not ch.isascii()):
                raise ForeignDigits(field=field)
            raise BadNumber(field=field)
        if _NUMBER.fullmatch(bare.removeprefix("+86").removeprefix("0086")):
            raise MiddleNumberAsParty(field=field)
        if not re.fullmatch(r"\+?[0-9]+", bare):
            raise BadNumber(field=field)
        if bare.startswith("00"):
            bare = "+" + bare[2:]
        import phonenumbers  # noqa: PLC0415  # half of what a command would import, and rarely used

        try:
            parsed = phonenumbers.parse(bare, "CN")
        except phonenumbers.NumberParseException as exc:
            raise BadNumber(field=field) from exc
        if parsed.country_code != 86:
            raise ForeignNumber(field=field)
        e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        if not _MAINLAND_MOBILE.fullmatch(e164):
            miscounted = re.match(r"\+861[3-9]", e164)  # a mobile number with a digit too few or too many
            if phonenumbers.is_possible_number(parsed) and not miscounted:
                raise NotMobile(field=field)
            raise BadNumber(field=field)
        return cls(e164)

    @property
    def national(self) -> str:
        """The eleven digits dialled at home."""
        return self.e164[3:]

    @property
    def masked(self) -> str:
        """``138****8000``, for logs and people."""
        return f"{self.e164[3:6]}****{self.e164[-4:]}"

    def __str__(self) -> str:
        return self.e164

    def __repr__(self) -> str:
        return f"<Msisdn {self.masked}>"


@dataclass(frozen=True, slots=True)
class Province:
    """A pilot province: its GB/T 2260 administrative code (two digits) and its names."""

    code: str
    name: str
    english: str


#: The eleven provinces of the pilot (工信部信管函〔2025〕130号).
PILOT_PROVINCES: Final = (
    Province("11", "北京", "Beijing"),
    Province("12", "天津", "Tianjin"),
    Province("31", "上海", "Shanghai"),
    Province("32", "江苏", "Jiangsu"),
    Province("33", "浙江", "Zhejiang"),
    Province("35", "福建", "Fujian"),
    Province("37", "山东", "Shandong"),
    Province("41", "河南", "Henan"),
    Province("42", "湖北", "Hubei"),
    Province("44", "广东", "Guangdong"),
    Province("51", "四川", "Sichuan"),
)

_BY_NAME: Final = {
    key: p for p in PILOT_PROVINCES for key in (p.code, p.code + "0000", p.name, p.english.lower())
}


def parse_province(text: str) -> Province:
    """Find a pilot province by code (``44`` or ``440000``), Chinese name or English name."""
    bare = text.strip().lower().removesuffix("省").removesuffix("市")
    try:
        return _BY_NAME[bare]
    except KeyError:
        raise BadProvince(field="province") from None
