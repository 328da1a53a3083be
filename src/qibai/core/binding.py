"""Bindings: modes, parties and life. Which (number, caller) pairs they occupy is said in ``core.pairs``.

Modes are those of the draft standard 《号码保护服务业务技术要求》: AXB, AXYB, GXB, GXYB.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from qibai.core.errors import GroupSizeWrong, LifetimeWrong, ModeMismatch, PartyRepeated
from qibai.core.numbering import Msisdn

MAX_GROUP: Final = 200


class Mode(StrEnum):
    """Who dials what. A, B are real numbers, G a group of them, X and Y 700 numbers."""

    AXB = "AXB"
    AXYB = "AXYB"
    GXB = "GXB"
    GXYB = "GXYB"

    @property
    def is_group(self) -> bool:
        return self in (Mode.GXB, Mode.GXYB)

    @property
    def has_y(self) -> bool:
        return self in (Mode.AXYB, Mode.GXYB)


class Scene(StrEnum):
    """What the order is for."""

    PARCEL = "parcel"
    FOOD = "food"
    RIDE = "ride"
    ECOMMERCE = "e-commerce"
    OTHER = "other"


class Messages(StrEnum):
    """Who may write text messages; A stands for the members of a group too. Calls go both ways always."""

    BOTH = "both"
    A_TO_B = "a_to_b"
    B_TO_A = "b_to_a"
    NONE = "none"

    @property
    def from_a(self) -> bool:
        return self in (Messages.BOTH, Messages.A_TO_B)

    @property
    def from_b(self) -> bool:
        return self in (Messages.BOTH, Messages.B_TO_A)


class Status(StrEnum):
    """A binding is active until its end; then it was released, or it expired."""

    ACTIVE = "active"
    RELEASED = "released"
    EXPIRED = "expired"


def status_at(now: datetime, *, expires_at: datetime, released_at: datetime | None) -> Status:
    """The status at ``now``: expiry takes effect at the instant it is due, without any job."""
    if released_at is not None and released_at <= now:
        return Status.RELEASED
    return Status.EXPIRED if expires_at <= now else Status.ACTIVE


@dataclass(frozen=True, slots=True)
class Parties:
    """The real numbers of a binding: ``a`` or ``members`` on one side, ``b`` on the other."""

    mode: Mode
    a: Msisdn | None
    members: tuple[Msisdn, ...]
    b: Msisdn

    @classmethod
    def of(cls, mode: Mode, *, a: Msisdn | None, members: Sequence[Msisdn], b: Msisdn) -> "Parties":
        """Raise ModeMismatch, GroupSizeWrong or PartyRepeated when the mode's rules are broken."""
        if mode.is_group:
            if a is not None:
                raise ModeMismatch("a group mode takes members, not a", field="a")
            if not 1 <= len(members) <= MAX_GROUP:
                raise GroupSizeWrong(field="members")
        else:
            if members:
                raise ModeMismatch("members belong to the modes GXB and GXYB", field="members")
            if a is None:
                raise ModeMismatch("this mode needs a", field="a")
        callers = tuple(members) if mode.is_group else (a,)
        if len(set(callers)) != len(callers) or b in callers:
            raise PartyRepeated(field="b" if b in callers else "members")
        return cls(mode, a, tuple(members), b)

    @property
    def near(self) -> tuple[Msisdn, ...]:
        """A, or the members of G: those who dial X to reach B."""
        return self.members if self.mode.is_group else (self.a,) if self.a else ()

    @property
    def everyone(self) -> tuple[Msisdn, ...]:
        """A or the members, then B: the places that ``core.pairs`` speaks of."""
        return (*self.near, self.b)


def expiry(
    now: datetime,
    *,
    ttl: timedelta | None,
    expires_at: datetime | None,
    default: timedelta,
    maximum: timedelta,
) -> datetime:
    """The instant a lifetime ends. Raise LifetimeWrong when it is not in (now, now + maximum]."""
    if ttl is not None and expires_at is not None:
        raise LifetimeWrong("give ttl or expires_at, not both", field="expires_at")
    if expires_at is not None:
        if expires_at.tzinfo is None:
            raise LifetimeWrong("expires_at needs a UTC offset", field="expires_at")
        end, name = expires_at, "expires_at"
    else:
        end, name = now + (default if ttl is None else ttl), "ttl"
    if not now < end <= now + maximum:
        raise LifetimeWrong(
            f"the binding must end in the future and within {int(maximum.total_seconds())} s", field=name
        )
    return end
