"""One base error; every subclass has a stable code that edges map to their protocol.

A message says what was wrong and what to do, and never contains a real number.
"""

from typing import ClassVar


class QibaiError(Exception):
    """Something in Qibai was refused or failed."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str | None = None, *, field: str | None = None) -> None:
        """``field`` names the input that was wrong, as the caller spells it."""
        super().__init__(message or self.usual())
        self.field = field

    @property
    def message(self) -> str:
        return str(self)

    @classmethod
    def usual(cls) -> str:
        """What the message is unless something more exact is known."""
        return (cls.__doc__ or "").strip()


# -- numbers ---------------------------------------------------------------------------------


class BadNumber(QibaiError):
    """This is not a number we can read."""

    code = "number_malformed"


class BadNumber700(BadNumber):
    """A 700 number is written as 700 and twelve more digits."""

    code = "number_700_malformed"


class BadCode(BadNumber):
    """A code is written as 700 and eight more digits."""

    code = "code_malformed"


class ForeignNumber(BadNumber):
    """Only mainland China numbers can be a party; this one is from abroad."""

    code = "number_foreign"


class MiddleNumberAsParty(BadNumber):
    """A 700 number cannot be a party of a binding."""

    code = "number_700_as_party"


class NotMobile(BadNumber):
    """Only a mobile number can be a party; this one is not mobile."""

    code = "number_not_mobile"


class ForeignDigits(BadNumber):
    """Write numbers with the digits 0 to 9."""

    code = "number_foreign_digits"


class NumberNotAllowed(QibaiError):
    """A real number is written in this name. Names and ids are kept in clear: choose another one."""

    code = "number_not_allowed"


class BadName(QibaiError):
    """A name has 1 to 64 visible characters, and no space at its ends."""

    code = "name_invalid"


class BadProvince(QibaiError):
    """This province is not one of the pilot's; use its name or its administrative code."""

    code = "province_unknown"


# -- bindings --------------------------------------------------------------------------------


class BadRequest(QibaiError):
    """The request does not have the shape that the documentation gives."""

    code = "request_invalid"


class PartyRepeated(QibaiError):
    """A real number stands twice in this binding."""

    code = "party_repeated"


class GroupSizeWrong(QibaiError):
    """A group has 1 to 200 members."""

    code = "group_size"


class ModeMismatch(QibaiError):
    """This does not fit the binding's mode."""

    code = "mode_mismatch"


class LifetimeWrong(QibaiError):
    """The lifetime must be positive and at most the configured maximum."""

    code = "lifetime_invalid"


class PoolExhausted(QibaiError):
    """No number is free for these parties; release bindings or add codes."""

    code = "pool_exhausted"


class NoCodes(QibaiError):
    """No code is assigned to this tenant; ask the operator to add one."""

    code = "no_codes"


class NoCodeForProvince(QibaiError):
    """No code of this tenant is open in that province."""

    code = "no_code_for_province"


class PolicyRefused(QibaiError):
    """A rule of the pilot or of the operator forbids it: `rule` says which, `document` where it stands."""

    code = "policy_refused"

    def __init__(self, message: str, *, rule: str, document: str, field: str | None = None) -> None:
        super().__init__(message, field=field)
        self.rule = rule
        self.document = document


class QuotaExceeded(QibaiError):
    """The tenant has as many live bindings here as its quota allows; release some, or ask the operator."""

    code = "quota_exceeded"


class NumberNotOwned(QibaiError):
    """The expected number does not belong to a code of this tenant."""

    code = "number_not_owned"


class NumberTaken(QibaiError):
    """The expected number is not free for these parties."""

    code = "number_taken"


class BindingNotFound(QibaiError):
    """No such binding for this tenant."""

    code = "binding_not_found"


class BindingEnded(QibaiError):
    """The binding has expired or was released. Make a new binding."""

    code = "binding_ended"


class CallNotFound(QibaiError):
    """No such call for this tenant."""

    code = "call_not_found"


class MessageNotFound(QibaiError):
    """No such message for this tenant."""

    code = "message_not_found"


class CallEnded(QibaiError):
    """The call is over already."""

    code = "call_ended"


class OrderMismatch(QibaiError):
    """The binding belongs to another order."""

    code = "order_mismatch"


class NotAParty(QibaiError):
    """This real number is not a party of the binding."""

    code = "not_a_party"


class DirectionForbidden(QibaiError):
    """The binding allows no messages of this party."""

    code = "direction_forbidden"


class ContentBlocked(QibaiError):
    """The text holds a real number, which the message policy forbids."""

    code = "content_blocked"


class IdempotencyMismatch(QibaiError):
    """This Idempotency-Key was used for another request; use a new one."""

    code = "idempotency_mismatch"


# -- access ----------------------------------------------------------------------------------


class Unauthenticated(QibaiError):
    """Give a valid API key or signature."""

    code = "unauthenticated"


class SignatureWrong(Unauthenticated):
    """The signature does not fit the request."""

    code = "signature_invalid"


class SignatureStale(Unauthenticated):
    """The signature's time is more than five minutes from the server's."""

    code = "signature_expired"


class Replayed(Unauthenticated):
    """This signed request was seen before; sign a new one with a new nonce."""

    code = "signature_replayed"


class TenantDisabled(QibaiError):
    """This tenant is disabled; ask the operator."""

    code = "tenant_disabled"


class TenantNotFound(QibaiError):
    """No such tenant."""

    code = "tenant_not_found"


class Forbidden(QibaiError):
    """This API key's role may not do this."""

    code = "forbidden"


class NotHere(QibaiError):
    """No platform, approval, certificate, code or lock has this name or number."""

    code = "resource_not_found"


class StepRefused(QibaiError):
    """This step cannot follow the present state."""

    code = "step_refused"


class SubLease(QibaiError):
    """Numbers of one application platform cannot be handed on to another."""

    code = "sub_lease_refused"


class Conflict(QibaiError):
    """Something with this name or number exists already."""

    code = "conflict"


# -- acts that are answered for -----------------------------------------------------------------


class AuditBroken(QibaiError):
    """The audit trail was tampered with."""

    code = "audit_broken"

    def __init__(self, seq: int, message: str) -> None:
        """``seq`` is the first bad entry's number."""
        super().__init__(message)
        self.seq = seq


class AuditUnanchored(QibaiError):
    """This act was not done, because its audit entry could not be anchored. Repair that, then try again."""

    code = "audit_unanchored"


class SecondPersonRequired(QibaiError):
    """Another person has to approve this first."""

    code = "second_person_required"


class TraceLimited(QibaiError):
    """A person may trace by a party's number 10 times in an hour and 30 times in a day; see `Retry-After`."""

    code = "trace_limited"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class RequestNotFound(QibaiError):
    """No such request for approval by a second person."""

    code = "request_not_found"


class RequestOver(QibaiError):
    """This request was already approved, used or has expired. Make a new request."""

    code = "request_over"


class SamePerson(QibaiError):
    """You cannot approve your own request. Another person has to, with a key older than the request."""

    code = "same_person"


# -- messages ---------------------------------------------------------------------------------


class BadMessage(QibaiError):
    """This SIP message cannot be read."""

    code = "sip_malformed"

    def __init__(self, message: str | None = None, *, field: str | None = None, status: int = 400) -> None:
        """``status`` is the SIP status that answers a request with this fault (RFC 3261 §21)."""
        super().__init__(message, field=field)
        self.status = status


class BadText(QibaiError):
    """The text of this message cannot be read or written in its encoding."""

    code = "text_malformed"


class TokenBroken(QibaiError):
    """This dialog token was not made by us, was changed, or its key is gone."""

    code = "token_invalid"


class TokenUnread(TokenBroken):
    """This token needs a key that this machine has not got yet; try again shortly."""

    code = "token_unread"


# -- parts of the platform --------------------------------------------------------------------


class Unavailable(QibaiError):
    """A part of the platform does not answer; try again shortly."""

    code = "unavailable"


class Overloaded(Unavailable):
    """Too many requests are waiting; try again shortly."""

    code = "overloaded"


class StoreUnavailable(Unavailable):
    """The database does not answer; try again shortly."""

    code = "store_unavailable"


class KeyUnknown(StoreUnavailable):
    """This value needs a key that this machine has not got yet; try again shortly."""

    # It is no broken seal: keys were rotated on another machine, and the key file has to be copied here.
    # Whoever meets it waits, as for a database that does not answer.
    code = "key_unknown"


class ConfigError(QibaiError):
    """The configuration is wrong."""

    code = "config_invalid"


class BackupBroken(QibaiError):
    """The backup is not whole, or was changed."""

    code = "backup_broken"


class BackupFailed(QibaiError):
    """The backup could not be made or put back."""

    code = "backup_failed"


class KeyFileError(QibaiError):
    """The key file is missing, unreadable or open to others."""

    code = "key_file"


class SealBroken(QibaiError):
    """A stored value could not be decrypted: wrong key file or damaged data."""

    code = "seal_broken"


class SchemaError(QibaiError):
    """The database schema does not fit this release; run `qibai migrate`."""

    code = "schema"
