"""Middle numbers outside 700 that served before the pilot: ordinary mobile, fixed and 95 numbers.

In the transition an enterprise that applied may go on using them (工信部信管函〔2025〕130号).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from qibai.core.errors import BadNumber, PartyRepeated
from qibai.core.numbering import Code, Msisdn, Number700

#: Country code and trunk prefix may be there; then mobile, Beijing, 95 and 96, or area code and number.
_SHAPE: Final = re.compile(
    r"(?:\+86|0086|86)?0?(?!700)(1[3-9][0-9]{9}|10[0-9]{8}|9[56][0-9]{3,16}|[2-9][0-9]{8,10})"
)
_FILLING: Final = re.compile(r"[ \-().]")
_FIRST_CODE: Final = -2  #: -1 stands for what is no number at all


@dataclass(frozen=True, slots=True, order=True, repr=False)
class ExistingNumber:
    """An old middle number in E.164; ``str`` is the whole number, ``repr`` is masked."""

    e164: str

    @classmethod
    def parse(cls, text: str, *, field: str | None = None) -> Self:
        """Read it as it is dialled or written. Raise BadNumber, whose message leaves the input out."""
        found = cls.find(_FILLING.sub("", text.strip())) if len(text) <= 40 else None
        if found is None:
            raise BadNumber("an old middle number is a mobile, fixed or 95 number", field=field)
        return found

    @classmethod
    def find(cls, digits: str) -> Self | None:
        """The number in digits that may begin with a +, or None."""
        found = _SHAPE.fullmatch(digits)
        return None if found is None else cls("+86" + found[1])

    @property
    def code(self) -> Code:
        """Where its rows live, as those of a 700 number live under its code: by the last four digits,
        which a masked number shows anyway. Negative, so that it is never a code."""
        return Code(_FIRST_CODE - int(self.e164[-4:]))

    @property
    def national(self) -> str:
        """As it is dialled at home: a fixed number with its trunk prefix."""
        bare = self.e164[3:]
        fixed = bare[0] != "9" if len(bare) == 10 or len(bare) == 9 else len(bare) == 11 and bare[0] != "1"
        return "0" + bare if fixed and bare[:2] not in ("40", "80", "95", "96") else bare

    @property
    def masked(self) -> str:
        """For logs and people."""
        return f"{self.e164[3:6]}****{self.e164[-4:]}" if len(self.e164) > 12 else f"****{self.e164[-4:]}"

    def __str__(self) -> str:
        return self.e164

    def __repr__(self) -> str:
        return f"<ExistingNumber {self.masked}>"


#: What can be dialled here.
Dialled = Number700 | ExistingNumber


def read_dialled(text: str) -> Dialled:
    """A 700 number as it is written, or what could be an old middle number. Raise BadNumber."""
    if text.startswith("700"):
        return Number700.parse(text)
    return ExistingNumber.parse(text, field="called")


class OldMode(StrEnum):
    """How an old binding connects. AXN: anyone may dial X and reaches A; A reaches B, where there is one."""

    AXB = "AXB"
    AXYB = "AXYB"
    AXN = "AXN"


@dataclass(frozen=True, slots=True)
class OldPair:
    """``caller`` (None: anyone) dials ``dialled`` and reaches ``callee``, who sees ``shown``."""

    dialled: ExistingNumber
    caller: Msisdn | None
    callee: Msisdn
    shown: ExistingNumber


@dataclass(frozen=True, slots=True)
class OldParties:
    """The numbers of an old binding; Y is there in AXYB alone, B everywhere but in some AXN."""

    mode: OldMode
    x: ExistingNumber
    y: ExistingNumber | None
    a: Msisdn
    b: Msisdn | None

    def __post_init__(self) -> None:
        """Raise PartyRepeated when a number has two roles, BadNumber when one is missing."""
        if (self.mode is OldMode.AXYB) != (self.y is not None):
            raise BadNumber("Y belongs to the mode AXYB alone", field="y")
        if self.b is None and self.mode is not OldMode.AXN:
            raise BadNumber("this mode needs B", field="b")
        if self.a == self.b or self.x == self.y:
            raise PartyRepeated("a number stands twice in this binding")
        for middle in (self.x, self.y):
            if middle is not None and middle.e164 in (self.a.e164, self.b and self.b.e164):
                raise PartyRepeated("the old middle number is a party of its own binding")

    @classmethod
    def unpack(cls, text: str) -> Self:
        """What ``packed`` says."""
        mode, x, y, a, b = text.split(" ")
        return cls(
            OldMode(mode),
            ExistingNumber(x),
            ExistingNumber(y) if y else None,
            Msisdn(a),
            Msisdn(b) if b else None,
        )

    @property
    def packed(self) -> str:
        """All of it in one text, which is how it is kept."""
        y, b = self.y, self.b
        return f"{self.mode.value} {self.x.e164} {y.e164 if y else ''} {self.a.e164} {b.e164 if b else ''}"

    @property
    def pairs(self) -> Sequence[OldPair]:
        """The (number, caller) pairs that the binding occupies, as (X, A) or (X, anyone) first."""
        x, y, a, b = self.x, self.y, self.a, self.b
        if self.mode is OldMode.AXN:
            pairs = [OldPair(x, None, a, x)]
            return pairs if b is None else [*pairs, OldPair(x, a, b, x)]
        assert b is not None  # noqa: S101  # __post_init__ has made sure
        far = x if y is None else y
        return [OldPair(x, a, b, far), OldPair(far, b, a, x)]
