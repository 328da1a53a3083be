"""Text messages of a tenant: sent on behalf of a party, and looked up. Ids are (code, id)."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

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
from qibai.service.bindings import Once
from qibai.service.lender import Lender
from qibai.service.reach import Reach
from qibai.service.translation import Translator
from qibai.store import bindings
from qibai.store.bindings import Binding
from qibai.store.keys import Keyring
from qibai.store.message_policy import get_policy
from qibai.store.messages import (
    Enqueued,
    Kind,
    MessageRecord,
    PlatformMessage,
    enqueue,
    get_message,
    list_messages,
)

__all__ = ["Kind", "MessageParties", "MessageRecord", "Outbox", "get_message", "list_messages", "parties"]

_RULES = {rule.id: rule for rule in Rule}


class Outbox:
    """Sends messages for tenants. One a process."""

    def __init__(
        self, lender: Lender, translator: Translator, keyring: Keyring, config: MessagingConfig
    ) -> None:
        self._lender, self._translator, self._keyring = lender, translator, keyring
        self._longest_s = config.validity_s

    async def send(
        self,
        tenant_id: int,
        *,
        binding: tuple[int, int],
        order_id: str,
        sender: Msisdn,
        text: str,
        valid_s: int | None = None,
        once: Once | None = None,
    ) -> Enqueued:
        """Send ``text`` on behalf of the party ``sender`` to the other party. What is returned is committed.

        ``valid_s``: for how many seconds delivery is tried, where that is less than ``messaging.validity_s``.
        Raise BindingNotFound, OrderMismatch, NotAParty, BindingEnded, PolicyRefused, DirectionForbidden,
        ContentBlocked, BadRequest, IdempotencyMismatch or StoreUnavailable.
        """
        async with self._lender.get() as conn:
            found = await bindings.get(conn, self._keyring, tenant_id, *binding)
            if found.order_id != order_id:
                raise OrderMismatch(field="order_id")
            decision = await self._translator.decide(_dialled(found, sender), sender)
            if isinstance(decision, Refusal):
                raise _error(decision)
            record = decision.record
            if (
                record.binding_id != found.id
            ):  # by now the number is bound for the same two in another binding
                raise BindingEnded
            if record.no_messages:
                raise DirectionForbidden(field="sender")
            passed = _checked(_clean(text), (await get_policy(conn, tenant_id)).policy)
            now = datetime.now(UTC)
            message = PlatformMessage(
                record=record,
                text=passed.text,
                valid_until=now + timedelta(seconds=min(valid_s or self._longest_s, self._longest_s)),
                has_number=passed.has_number,
            )
            # A key that a bind had is another key here: the two requests differ in their first octets.
            digests = (
                None if once is None else Once(once.key, b"message\n" + once.request).digests(self._keyring)
            )
            return await enqueue(conn, self._keyring, message, now=now, idempotency=digests)


class MessageParties(NamedTuple):
    """Whom a message is between, as whoever asks may know it; None: they may not."""

    sender: str | None
    receiver: str | None


def parties(row: MessageRecord, keyring: Keyring, whose: Reach) -> MessageParties:
    """A tenant does not learn who wrote to its numbers without a binding. Raise SealBroken, KeyUnknown."""
    if row.binding_id is None:
        return MessageParties(None, None)
    sender, receiver = row.opened(keyring)
    return MessageParties(whose.shown_if(sender), whose.shown_if(receiver))


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
