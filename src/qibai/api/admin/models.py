"""Requests and answers of ``/v1/admin``."""

from datetime import date, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from qibai.api.models import NUMBER_PATTERN, Instant, Label
from qibai.core.binding import Scene
from qibai.core.pilot import ApplicationState

CODES_PATTERN: Final = r"^700[0-9]{8}(-700[0-9]{8})?$(?!\n)"  #: Python's `$` lets a last newline pass

Digit = Annotated[int, Meta(ge=0, le=9)]
Count = Annotated[int, Meta(ge=0, le=2**62)]
ProvinceName = Annotated[str, Meta(min_length=1, max_length=20, examples=["44"])]
ProvinceNames = Annotated[list[ProvinceName], Meta(min_length=1, max_length=20)]
Codes = Annotated[
    list[Annotated[str, Meta(pattern=CODES_PATTERN, examples=["70010000001-70010000020"])]],
    Meta(min_length=1, max_length=1_000, description="Codes, or ranges FIRST-LAST; 100,000 codes in all."),
]
Number = Annotated[str, Meta(pattern=NUMBER_PATTERN + r"(?!\n)", examples=["700123456781234"])]


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name."""

    name: Label


class Placed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant under an application platform."""

    platform: Label
    tenant: Label


class Carrier(msgspec.Struct, frozen=True):
    """A carrier: the fourth digit of its 700 numbers, and how many of its codes are set aside."""

    digit: int
    name: str
    codes: int = 0
    set_aside: int = 0


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """An application-platform provider and its latest approval."""

    name: str
    applied_at: datetime | None = None
    approval: str | None = None
    provinces: list[str] | None = None
    first_day: date | None = None
    last_day: date | None = None
    revoked_at: datetime | None = None
    exit_at: datetime | None = None
    codes: int = 0
    tenants: list[str] = []


class ApplicationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new application."""

    platform: Label
    kind: Literal["initial", "supplement", "return", "early_exit", "renewal"] = "initial"
    note: Annotated[
        str, Meta(max_length=1_000, pattern="^[^\\x00]*$", description="What is applied for.")
    ] = ""
    at: Instant | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is entered along with a grant, as far as it is known then.

    `initial`: papers for `provinces` and days, `codes` assigned by the certificate; `supplement`: the same
    with a certificate, new or not; `return`: `codes` to drain; `early_exit`: `exit_at`, else now; `renewal`:
    `last_day`, of the papers named, else of all that count.
    """

    approval: Label | None = None
    certificate: Label | None = None
    provinces: ProvinceNames | None = None
    first_day: date | None = None
    last_day: date | None = None
    codes: Codes | None = None
    exit_at: Instant | None = None


class StepRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An application's next state; a refusal has a reason, a grant may have an outcome."""

    to: ApplicationState
    reason: Label | None = None
    outcome: Outcome | None = None
    at: Instant | None = None


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """An application as it stands."""

    id: int
    platform: str
    kind: str
    state: ApplicationState
    note: str
    submitted_at: datetime | None
    reason: str | None


class Step(msgspec.Struct, frozen=True):
    """One step of an application."""

    state: ApplicationState
    at: datetime
    reason: str | None


class PaperRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An approval or a certificate: for which provinces and days (Beijing time, both included) it is."""

    platform: Label
    number: Label
    provinces: ProvinceNames
    first_day: date
    last_day: date


class RenewRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A later last day."""

    number: Label
    last_day: date


class RevokeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A revocation, from now or from `at` on."""

    number: Label
    why: Label
    at: Instant | None = None


class ExitRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An early exit, from now or from `at` on."""

    number: Label
    at: Instant | None = None


class Paper(msgspec.Struct, frozen=True, kw_only=True):
    """A paper as stored."""

    platform: str
    number: str
    provinces: list[str]
    first_day: date
    last_day: date
    revoked_at: datetime | None
    revoked_why: str | None
    exit_at: datetime | None


class CodesRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Codes; all of them take the step, or none does."""

    codes: Codes


class AssignRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Codes that were assigned by a certificate."""

    codes: Codes
    certificate: Label


class OpenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Codes and the provinces in which their carrier has opened, or closed, them."""

    codes: Codes
    provinces: ProvinceNames


class GiveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Codes for a tenant of their own application platform."""

    codes: Codes
    tenant: Label


class SetAsideRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Codes, or all of a carrier, that nothing new is bound on."""

    codes: Codes | None = None
    carrier: Digit | None = None
    why: Label


class RestoreRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Codes, or all of a carrier, that work again."""

    codes: Codes | None = None
    carrier: Digit | None = None


class Changed(msgspec.Struct, frozen=True):
    """How many codes took the step."""

    codes: int


class HeldCode(msgspec.Struct, frozen=True, kw_only=True):
    """A code and where it stands."""

    code: str
    state: str
    enabled: Annotated[bool, Meta(description="False: it is set aside.")]
    provinces: list[str]
    platform: str | None
    certificate: str | None
    tenant: str | None


class CodePage(msgspec.Struct, frozen=True):
    """Codes in order. Give `next_cursor` as `cursor` to go on; null at the end."""

    items: list[HeldCode]
    next_cursor: str | None


class LockRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number that is bound no more, and, if wished, called no more."""

    number: Number
    why: Label
    stops_calls: bool = False


class UnlockRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number that may be bound again."""

    number: Number


class Lock(msgspec.Struct, frozen=True):
    """A locked number."""

    number: str
    stops_calls: bool
    why: str
    locked_at: datetime


class QuotaRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many live bindings a tenant may have, in a scene and in a province, or in all together."""

    tenant: Label
    most: Count
    scene: Scene | None = None
    province: ProvinceName | None = None


class QuotaKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which limit."""

    tenant: Label
    scene: Scene | None = None
    province: ProvinceName | None = None


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """A limit and how many live bindings count against it."""

    tenant: str
    scene: str | None
    province: str | None
    most: int
    used: int


class DualRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Something that takes two persons: who asked for what exactly, and what became of it."""

    id: Annotated[str, Meta(examples=["k3m9x2wq7p"])]
    action: Annotated[str, Meta(examples=["trace.reveal"])]
    params: Annotated[dict[str, Any], Meta(description="What would be done, exactly.")]
    reason: str
    state: Literal["pending", "approved", "rejected", "used", "void"]
    asked_by: str
    asked_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    used_at: datetime | None


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the audit trail; digests are SM3, in hexadecimal."""

    seq: int
    at: datetime
    at_us: Annotated[int, Meta(description="The same in microseconds since 1970, as the digest covers it.")]
    actor: str
    role: str
    via: Annotated[str, Meta(description="How the actor was known: `key:ID` or `os:USER@NODE`.")]
    action: str
    subject: str
    details: Annotated[str, Meta(description="JSON; no real number stands in it in clear.")]
    prev: str
    hash: str


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries, the latest first. Give `next_cursor` as `cursor` to go on; null at the end."""

    items: list[AuditEntry]
    head: Annotated[str, Meta(description="Where the trail ends, `SEQ:HASH`: note it down as an anchor.")]
    next_cursor: int | None


class CutOverRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tenant whose old middle numbers are to serve no more."""

    tenant: Label
    force: Annotated[bool, Meta(description="Cut over even if live old bindings have no 700 number.")] = False


class GoOnRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant whose old middle numbers are to serve again."""

    tenant: Label


class ExistingFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of old bindings, and what became of them."""

    file: str
    began_at: datetime
    checked_at: datetime | None
    finished_at: datetime | None
    total: int | None
    moved: Annotated[int, Meta(description="Got a 700 number.")]
    kept: Annotated[int, Meta(description="Serve under their old number alone.")]
    earlier: Annotated[int, Meta(description="Were there before.")]
    rejected: int


class Existing(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's old middle numbers outside 700. `cut_over_at` null: they serve, if the rules let them."""

    tenant: str
    began_at: datetime | None
    cut_over_at: datetime | None
    moved: Annotated[int, Meta(description="Live old bindings that have a 700 number.")]
    kept: Annotated[int, Meta(description="Live old bindings that have none.")]
    ended: int
    files: list[ExistingFile]
