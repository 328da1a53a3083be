"""Messages as they come, made into rows."""

from typing import Final

from qibai.core.ids import new_id
from qibai.core.messages import MessageReason, MessageState
from qibai.core.numbering import Msisdn, Number700
from qibai.core.routing import RouteRecord
from qibai.messaging.link import Received
from qibai.messaging.rules import Verdict
from qibai.store.keys import Keyring
from qibai.store.messages import (
    HAS_NUMBER,
    WANTS_FAILURES,
    WANTS_RECEIPT,
    Body,
    Kind,
    MessageRow,
    party_aad,
    seal_body,
    starred,
)

_WIDE: Final = 1 << 16  #: a reference of 16 bits is not one of 8
NO_CODE: Final = -1  #: of a message to what is no 700 number
LEASE_S: Final = 30.0  #: what is in memory is not read again before


class Rows:
    """Makes rows for one node."""

    def __init__(
        self, keyring: Keyring, node: str, validity_s: float, parts_wait_s: float, *, show: bool
    ) -> None:
        """``show``: records show a text's shape."""
        self._keyring, self._node, self._show = keyring, node, show
        self._validity_s, self._parts_wait_s = validity_s, parts_wait_s
        self._last = 0

    def id(self) -> int:
        """A new id, above all that this gateway gave."""
        self._last = max(new_id(), self._last + 1)
        return self._last

    def accepted(self, received: Received, record: RouteRecord, id: int, now: float) -> MessageRow:
        """The row of a message that goes on; see ``fill``."""
        called, shown = record.called, record.shown
        if not (isinstance(called, Number700) and isinstance(shown, Number700)):
            raise ValueError("text messages go by 700 numbers alone")
        asked = received.valid_until.timestamp() if received.valid_until else now + self._validity_s
        return MessageRow(
            code=called.code.value,
            id=id,
            kind=Kind.RELAY,
            tenant_id=record.tenant_id,
            binding_id=record.binding_id,
            called=called.serial,
            shown=shown.serial,
            sender=record.caller_sealed,
            receiver=record.callee_sealed,
            flags=_flags(received),
            node=self._node,
            in_link=received.link,
            in_ref=received.ref,
            state=MessageState.QUEUED,
            created_at=now,
            valid_until=min(asked, now + self._validity_s),
            due_at=now + LEASE_S,
        )

    def fill(self, row: MessageRow, body: Body, *, has_number: bool = False) -> None:
        """What is to be sent."""
        row.body = seal_body(self._keyring, row.code, row.id, body)
        if self._show and isinstance(body, str):
            row.content = starred(body)
        row.flags |= HAS_NUMBER * has_number

    def wait(self, row: MessageRow, received: Received) -> None:
        """It is a part that waits for the others."""
        place = received.part.concat
        if place is None:
            raise ValueError("not a part of a long message")
        row.long_ref = place.ref | _WIDE * place.wide
        row.long_total, row.long_seq = place.total, place.seq
        row.body = seal_body(self._keyring, row.code, row.id, received.part)
        row.due_at = row.created_at + self._parts_wait_s

    def refused(
        self, received: Received, verdict: Verdict, reason: MessageReason, rule: str | None, now: float
    ) -> MessageRow:
        """The record of a message that nobody gets."""
        called, record, id = verdict.called, verdict.record, self.id()
        code = NO_CODE if called is None else called.code.value
        sender = None
        if record is not None:
            sender = record.caller_sealed
        elif verdict.caller is not None:
            sender = self._keyring.seal(verdict.caller.e164, party_aad(code, None, id))
        return MessageRow(
            code=code,
            id=id,
            kind=Kind.RELAY,
            tenant_id=record.tenant_id if record else None,
            binding_id=record.binding_id if record else None,
            called=called.serial if called else None,
            sender=sender,
            node=self._node,
            in_link=received.link,
            in_ref=received.ref,
            state=MessageState.REJECTED,
            reason=reason.value,
            rule=rule,
            created_at=now,
            valid_until=now,
            final_at=now,
        )

    def notice(self, called: Number700, receiver: Msisdn, text: str, now: float) -> MessageRow:
        """The notice to a refused sender, from the number that it wrote to."""
        code, id = called.code.value, self.id()
        return MessageRow(
            code=code,
            id=id,
            kind=Kind.NOTICE,
            called=called.serial,
            shown=called.serial,
            receiver=self._keyring.seal(receiver.e164, party_aad(code, None, id)),
            body=seal_body(self._keyring, code, id, text),
            node=self._node,
            state=MessageState.QUEUED,
            created_at=now,
            valid_until=now + self._validity_s,
            due_at=now + LEASE_S,
        )


def _flags(received: Received) -> int:
    if received.wants_receipt:
        return WANTS_RECEIPT
    return WANTS_FAILURES if received.wants_failures else 0
