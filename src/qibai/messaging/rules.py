"""Who a message goes to, or why to nobody: the very decision that calls get, and what messages add to it."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from qibai.core.errors import BadNumber, QibaiError
from qibai.core.messages import MessageReason, reason_of
from qibai.core.numbering import Msisdn, Number700
from qibai.core.routing import Decision, Look, Refusal, RefusalReason, RouteRecord, decide
from qibai.service.decision import Decider
from qibai.store.connection import Connection
from qibai.store.connections import Connections
from qibai.store.group_commit import GroupCommit
from qibai.store.keys import Keyring
from qibai.store.messages import find_pairs

_NUMBER_700: Final = re.compile(r"(?:\+|00)?(?:86)?(700[0-9]{12})")
_PARTY: Final = re.compile(r"(?:\+|00)?86(1[0-9]{10})|0?(1[0-9]{10})")
LINGER_S: Final = 0.05  #: a text message can wait so long for company, which makes all of them cheaper


@dataclass(frozen=True, slots=True)
class Verdict:
    """``refused``: why nobody gets it; ``record``: what is held of the pair, if anything."""

    called: Number700 | None
    caller: Msisdn | None
    record: RouteRecord | None = None
    refused: MessageReason | None = None
    rule: str | None = None

    @property
    def allowed(self) -> RouteRecord:
        """The pair of a message that was not refused."""
        if self.record is None:
            raise ValueError("the message was refused")
        return self.record


class Rules:
    """Decides for many at once: one look-up a batch."""

    def __init__(self, database: Connections, keyring: Keyring, decider: Decider) -> None:
        """``decider`` is used in worker threads, by one at a time."""
        self._database, self._keyring, self._decider = database, keyring, decider
        self._deciding = asyncio.Lock()
        self._looks: GroupCommit[None, tuple[Number700, Msisdn], Look] = GroupCommit(
            self._find, linger_s=LINGER_S
        )

    async def decide(self, source: str, destination: str) -> Verdict:
        """Decide for one message, numbers as the peer wrote them. Never raises for want of a database."""
        called, caller = number_of(destination), party_of(source)
        if called is None or caller is None:
            return _verdict(called, caller, None, decide(called, caller, None, 0.0))
        try:
            look = await self._looks.submit(None, (called, caller))
            if self._decider.knows(look):
                decision = self._decider.decide_by(look, called, caller)
            else:  # rights have changed: they are read again
                async with self._deciding:
                    decision = await asyncio.to_thread(self._decider.decide_by, look, called, caller)
        except QibaiError:
            return _verdict(called, caller, None, Refusal(RefusalReason.STORE_UNAVAILABLE))
        return _verdict(called, caller, look.record, decision)

    async def touch(self, record: RouteRecord) -> bool:
        """A member of a group has written to B: B's answer reaches that member. False: not noted."""
        try:
            async with self._deciding:
                await asyncio.to_thread(self._decider.routes.touch_group, record)
        except QibaiError:
            return False
        return True

    async def _find(self, _: None, pairs: Sequence[tuple[Number700, Msisdn]]) -> list[Look]:
        async def read(conn: Connection) -> list[Look]:
            return await find_pairs(conn, self._keyring, pairs)

        return await self._database.run(read)


def number_of(text: str) -> Number700 | None:
    """A 700 number as networks write it (700…, +700…, +86700…, 0086700…), or None."""
    found = _NUMBER_700.fullmatch(text.strip())
    try:
        return Number700.parse(found[1]) if found else None
    except BadNumber:
        return None


def party_of(text: str) -> Msisdn | None:
    """A real number as networks write it (138…, 0138…, 86138…, +86138…, 0086138…), or None.

    A plus before anything but 86 means another country, where nobody is a party.
    """
    found = _PARTY.fullmatch(text.strip())
    try:
        return Msisdn.parse(f"+86{found[1] or found[2]}" if found else text)
    except BadNumber:
        return None


def _verdict(
    called: Number700 | None, caller: Msisdn | None, record: RouteRecord | None, decision: Decision
) -> Verdict:
    if isinstance(decision, Refusal):
        return Verdict(called, caller, record, reason_of(decision), decision.rule)
    return Verdict(called, caller, record, MessageReason.DIRECTION if decision.record.no_messages else None)
