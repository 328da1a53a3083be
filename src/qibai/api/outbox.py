"""A message that a tenant sends on behalf of one party: whose is it, may it go, what of its text goes."""

from datetime import UTC, datetime, timedelta

from qibai.api.translate import Translator
from qibai.config import MessagingConfig
from qibai.core.content import ContentPolicy, Hook, Passed
from qibai.core.errors import (
    BadRequest,
    BadText,
    BindingEnded,
    BindingNotFound,
    ContentBlocked,
    DirectionForbidden,
    NotAParty,
    OrderMismatch,
    PolicyRefused,
)
from qibai.core.numbering import Msisdn, Number700
from qibai.core.pilot import Rule
from qibai.core.routing import Refusal, RefusalReason
from qibai.core.text import cleaned
from qibai.store import bindings
from qibai.store.bindings import Binding, Idempotency
from qibai.store.connection import Connection
from qibai.store.keys import Keyring
from qibai.store.message_policy import get_policy
from qibai.store.messages import Enqueued, PlatformMessage, enqueue

_RULES = {rule.id: rule for rule in Rule}


class Outbox:
    """Sends for tenants. One per worker process."""

    def __init__(self, translator: Translator, keyring: Keyring, config: MessagingConfig) -> None:
        self._translator, self._keyring, self._config = translator, keyring, config

    async def send(
        self,
        conn: Connection,
        tenant_id: int,
        *,
        binding: tuple[int, int],
        order_id: str,
        sender: Msisdn,
        text: str,
        valid_s: int | None,
        idempotency: Idempotency | None,
    ) -> Enqueued:
        """Make the message durable; ``binding`` is (code, id). What is returned is committed.

        Raise BindingNotFound, OrderMismatch, NotAParty, BindingEnded, PolicyRefused, DirectionForbidden,
        ContentBlocked, IdempotencyMismatch or StoreUnavailable.
        """
        found = await bindings.get(conn, self._keyring, tenant_id, *binding)
        if found.order_id != order_id:
            raise OrderMismatch(field="order_id")
        called = _dialled(found, sender)
        decision = await self._translator.decide(called, sender)
        if isinstance(decision, Refusal):
            raise _error(decision)
        record = decision.record
        if record.binding_id != found.id:  # its number has been bound anew for these since
            raise BindingEnded
        if record.no_messages:
            raise DirectionForbidden(field="sender")
        passed = _checked(_clean(text), (await get_policy(conn, tenant_id)).policy)
        now = datetime.now(UTC)
        longest = self._config.validity_s
        message = PlatformMessage(
            record=record,
            text=passed.text,
            valid_until=now + timedelta(seconds=min(valid_s or longest, longest)),
            has_number=passed.has_number,
        )
        return await enqueue(conn, self._keyring, message, now=now, idempotency=idempotency)


def _dialled(binding: Binding, sender: Msisdn) -> Number700:
    """The number that ``sender`` writes to."""
    parties = binding.parties
    if sender in parties.near:
        return binding.x
    if sender == parties.b:
        return binding.x if binding.y is None else binding.y
    raise NotAParty(field="sender")


def _clean(text: str) -> str:
    """Without control characters, as texts from carriers. Raise BadRequest where nothing else is left."""
    try:
        plain = cleaned(text)
    except BadText:
        plain = ""
    if not plain:
        raise BadRequest("the text holds nothing that can be sent", field="text")
    return plain


def _checked(text: str, policy: ContentPolicy) -> Passed:
    """What goes on of a text. The hook is not asked: the tenant knows what it sends, but one that forbids all
    texts is taken at its word."""
    passed = policy.passed(text)
    if passed is None and policy.hook is Hook.BLOCK:
        raise ContentBlocked("the message policy lets no text pass", field="text")
    if passed is None:
        raise ContentBlocked(field="text")
    return passed


def _error(refusal: Refusal) -> Exception:
    match refusal.reason:
        case RefusalReason.ORDER_ENDED:
            return BindingEnded()
        case RefusalReason.POLICY:
            rule = _RULES.get(refusal.rule or "")
            if rule is None:
                return PolicyRefused("a rule forbids it", rule=refusal.rule or "", document="")
            return bindings.policy_refused(rule)
        case _:
            return BindingNotFound()
