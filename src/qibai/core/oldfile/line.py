"""One old binding as an export tells it, and what every shape needs to read one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from qibai.core.binding import Scene
from qibai.core.errors import BadRequest, QibaiError
from qibai.core.existing import ExistingNumber, OldMode, OldParties
from qibai.core.numbering import Msisdn, parse_province
from qibai.core.typed import without_parties

MAX_LABEL: Final = 64
MAX_CALL_S: Final = 2**31 - 1
_MOBILE: Final = re.compile(r"(?:\+86|0086|86)?(1[3-9][0-9]{9})")
#: As the API takes an order's id: text without anything invisible.
_LABEL: Final = re.compile(r"[\x20-\x7e\u00a0-\u200a\u3001-\u9fff\uff01-\uffee]{1,64}")
MOST_IN_LINE: Final = 1_000  #: bindings of one line
_LATEST: Final = 2**31 * 2  #: seconds; beyond it a time is a mistake


class OrderFrom(StrEnum):
    """Where an order's id comes from if the export has none."""

    OUT_ID = "out-id"  #: from what the enterprise gave the vendor: OutId, UserData, userData, BizId
    REQUIRED = "required"  #: from nowhere: without it the binding is not taken


@dataclass(frozen=True, slots=True)
class OldLine:
    """An old binding. ``place`` counts bindings from 1, ``number`` lines: one line may hold several."""

    place: int
    number: int
    parties: OldParties
    order_id: str
    vendor_id: str | None
    expires_at: datetime | None  #: None: the export names no end
    scene: Scene | None = None
    province: str | None = None  #: GB/T 2260, two digits
    max_call_s: int | None = None
    vendor: str = "own"  #: whose export it is from

    def __repr__(self) -> str:
        return f"<OldLine {self.number} {self.parties.mode}>"


@dataclass(frozen=True, slots=True)
class BadOldLine:
    """One that cannot be taken, by a stable code, and why; no real number is in it."""

    place: int
    number: int
    code: str
    reason: str

    @property
    def part(self) -> int:
        """Which of the bindings in its line, from 1."""
        return self.place % MOST_IN_LINE + 1


@dataclass(slots=True)
class Row:
    """What a shape has made of one binding's fields: text as it came, times and numbers read."""

    x: str | None
    a: str | None
    b: str | None
    y: str | None = None
    mode: OldMode | None = None
    order_id: str | None = None
    out_id: str | None = None
    vendor_id: str | None = None
    expires_at: datetime | None = None
    scene: str | None = None
    province: str | None = None
    max_call_s: int | None = None

    def line(self, place: int, number: int, orders: OrderFrom, vendor: str) -> OldLine:
        """The binding. Raise QibaiError, whose message says what is wrong and shows no number."""
        y, b = self.y, self.b
        mode = self.mode or (OldMode.AXYB if y else OldMode.AXB if b else OldMode.AXN)
        parties = OldParties(
            mode,
            middle(self.x, "x"),
            middle(y, "y") if y else None,
            mobile(self.a, "a"),
            mobile(b, "b") if b else None,
        )
        order = self.order_id or (self.out_id if orders is OrderFrom.OUT_ID else None)
        if not order:
            raise BadRequest("it has no order", field="order_id")
        known = [one for one in (parties.a, parties.b) if one is not None]
        without_parties(order, known, "order_id")
        without_parties(self.vendor_id, known, "binding_id")
        return OldLine(
            place,
            number,
            parties,
            label(order, "order_id"),
            label(self.vendor_id, "binding_id") if self.vendor_id else None,
            self.expires_at,
            scene(self.scene) if self.scene else None,
            parse_province(self.province).code if self.province else None,
            self.max_call_s,
            vendor,
        )


def mobile(text: str | None, field: str) -> Msisdn:
    """A real number. Raise BadNumber or what is known more exactly."""
    found = _MOBILE.fullmatch(text or "")
    if found is not None:
        return Msisdn("+86" + found[1])
    try:
        return Msisdn.parse(text or "", field=field)
    except QibaiError as exc:
        raise _with_hint(exc, text) from None


def middle(text: str | None, field: str) -> ExistingNumber:
    """An old middle number. Raise BadNumber."""
    try:
        return ExistingNumber.find(text or "") or ExistingNumber.parse(text or "", field=field)
    except QibaiError as exc:
        raise _with_hint(exc, text) from None


def _with_hint(error: QibaiError, text: str | None) -> QibaiError:
    """The same error, with what of the number helps to find it: its length, and its first three digits."""
    if not text:
        return type(error)(f"{error.message} It is empty.", field=error.field)
    begin = "".join(one if one in "+0123456789" else "?" for one in text[:3])
    hint = f"{begin}{'*' * max(0, min(len(text), 40) - 3)}, {len(text)} characters"
    return type(error)(f"{error.message} ({hint})", field=error.field)


def label(text: str, field: str) -> str:
    """An id that fits into the store. Raise BadRequest."""
    if _LABEL.fullmatch(text) is None:
        raise BadRequest(f"1 to {MAX_LABEL} visible characters are needed", field=field)
    return text


def scene(text: str) -> Scene:
    """Raise BadRequest."""
    try:
        return Scene(text)
    except ValueError:
        raise BadRequest(f"the scene is one of {', '.join(Scene)}", field="scene") from None


def text_of(row: Mapping[str, Any], *names: str) -> str | None:
    """The first of the fields that says something, as text. Raise BadRequest for anything else."""
    for name in names:
        value = row.get(name)
        if value is None or value == "":
            continue
        if type(value) is str:  # by far the usual
            if bare := value.strip():
                return bare
        elif isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        else:
            raise BadRequest("this has to be text", field=name)
    return None


def whole(row: Mapping[str, Any], name: str, *, most: int = MAX_CALL_S) -> int | None:
    """A whole number that is not negative, written as a number or as text. Raise BadRequest."""
    text = text_of(row, name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and int(text) <= most):
        raise BadRequest(f"a whole number up to {most} is needed", field=name)
    return int(text)


def unix(seconds: int, field: str) -> datetime:
    """Unix seconds. Raise BadRequest."""
    if not 0 < seconds <= _LATEST:
        raise BadRequest("this is no time in Unix seconds", field=field)
    return datetime.fromtimestamp(seconds, UTC)


def rfc3339(text: str, field: str) -> datetime:
    """A time with its offset. Raise BadRequest."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise BadRequest("a time as RFC 3339, with its offset, is needed", field=field)
    if not 1970 <= at.year <= 2105:
        raise BadRequest("a time from 1970 to 2105 is needed", field=field)
    return at.astimezone(UTC)


def bad(place: int, number: int, error: QibaiError) -> BadOldLine:
    """Why a line is not taken."""
    where = f"{error.field}: " if error.field else ""
    return BadOldLine(place, number, error.code, where + error.message)
