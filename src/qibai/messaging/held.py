"""A message under way, in memory: what facts and time make of it. No I/O."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from qibai.core.messages import MessageReason, MessageState
from qibai.messaging.facts import Fact, FactKind, MessageKey
from qibai.store.messages import WANTS_FAILURES, WANTS_RECEIPT, Body, MessageRow, SentPart


@dataclass(slots=True, eq=False)
class Held:
    """A row, the parts of it that peers have, and the other parts as which it came.

    ``busy``: somebody works on it just now. ``changes`` counts what PostgreSQL has yet to hear.
    """

    row: MessageRow
    others: Sequence[MessageRow] = ()
    sent: dict[int, SentPart] = field(default_factory=dict)
    body: Body | None = None
    busy: bool = False
    reporting: bool = False  #: its end is being reported
    changes: int = 0
    stored_parts: bool = False  #: PostgreSQL has some of ``sent``
    retries: int = 0  #: of the report
    stripped: bool = False  #: what could not be stored is left out

    @property
    def key(self) -> MessageKey:
        return self.row.key

    def apply(self, fact: Fact, receipt_wait_s: float) -> bool:
        """Take in a fact; whether it changed anything."""
        row = self.row
        if fact.kind is FactKind.REPORTED:
            changed = row.state.is_final and row.due_at is not None
            if changed:
                row.due_at = None
            return changed
        if row.state.is_final:
            return False
        if fact.kind in (FactKind.OUT, FactKind.BACK):
            return self._tried(fact)
        if fact.kind is FactKind.REFUSED:
            self.finish(MessageState.REJECTED, fact.at, MessageReason.PEER_REJECTED, fact.error)
            return True
        if fact.kind is FactKind.TAKEN:
            return self._taken(fact, receipt_wait_s)
        if fact.kind is FactKind.RECEIPT:
            return self._receipt(fact)
        return False

    def finish(
        self, state: MessageState, at: float, reason: MessageReason | None = None, error: str = ""
    ) -> None:
        """The message ends so, and with it the parts as which it came."""
        for row in (self.row, *self.others):
            row.state, row.final_at = state, at
            row.reason, row.error = (reason.value if reason else None), (error or None)
            row.due_at = at if wants_report(row) else None
        self.body = None

    def tries(self, part: int) -> int:
        """How often a part went out without an answer."""
        return self.row.out_tries if self.row.out_part == part else 0

    def waits_since(self, part: int) -> tuple[bool, float]:
        """Whether a part waits for its receipt, and when a peer took it; 0 where none has."""
        sent = self.sent.get(part)
        return (False, 0.0) if sent is None else (not sent.state.is_final, sent.sent_at)

    def _tried(self, fact: Fact) -> bool:
        if fact.part in self.sent:
            return False
        self.row.out_part, self.row.out_tries = (fact.part if fact.tries else None), fact.tries
        if fact.long:
            self.row.out_long = fact.long  # whoever has this part has it of a message that was cut so
        return True

    def _taken(self, fact: Fact, receipt_wait_s: float) -> bool:
        row = self.row
        if fact.part in self.sent:
            return False
        self.sent[fact.part] = SentPart(
            code=row.code,
            id=row.id,
            part=fact.part,
            link=fact.link,
            ref=fact.ref,
            state=MessageState.SENT if fact.ref else MessageState.DELIVERED,
            sent_at=fact.at,
        )
        row.out_link, row.out_long, row.parts = fact.link, fact.long, fact.total
        if row.out_part == fact.part:
            row.out_part, row.out_tries = None, 0
        if len(self.sent) < fact.total:
            return True
        row.state, row.sent_at = MessageState.SENT, fact.at
        self.body = None
        row.due_at = row.valid_until + receipt_wait_s
        self._settle(fact.at)
        return True

    def _receipt(self, fact: Fact) -> bool:
        part = self.sent.get(fact.part)
        if part is None or part.state.is_final or not fact.state.is_final:
            return False
        part.state, part.error = fact.state, fact.error or None
        self.row.stated_at = fact.stated_at
        if fact.state is MessageState.DELIVERED:
            self._settle(fact.at)
        else:  # without one of its parts nobody can read the whole
            self.finish(fact.state, fact.at, None, fact.error)
        return True

    def _settle(self, at: float) -> None:
        whole = len(self.sent) == self.row.parts
        if whole and all(part.state is MessageState.DELIVERED for part in self.sent.values()):
            self.finish(MessageState.DELIVERED, at)


def receipt_fact(held: Held, part: int, state: MessageState, error: str, stated_at: datetime | None) -> Fact:
    """What a peer says of a part, at our own time."""
    row = held.row
    stated = None if stated_at is None else stated_at.timestamp()
    return Fact(
        FactKind.RECEIPT,
        row.code,
        row.id,
        time.time(),
        part=part,
        state=state,
        error=error,
        stated_at=stated,
    )


def wants_report(row: MessageRow) -> bool:
    """Whether the sender's peer is to hear of this end."""
    if row.in_link is None or row.in_ref is None:
        return False
    failed = row.state is not MessageState.DELIVERED
    return bool(row.flags & WANTS_RECEIPT or (failed and row.flags & WANTS_FAILURES))
