"""Who a message goes to, or why to nobody: the very decision that calls get, and what messages add to it."""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from qibai.core.errors import BadNumber, QibaiError
from qibai.core.messages import MessageReason, reason_of
from qibai.core.numbering import Msisdn, Number700
from qibai.core.pilot import Rules as PilotRules
from qibai.core.routing import Look, Refusal, RefusalReason, RouteRecord
from qibai.messaging.batch import Batches
from qibai.store.connection import Connection
from qibai.store.connections import Connections
from qibai.store.keys import Keyring
from qibai.store.messages import Pair, find_pairs
from qibai.store.routes import RouteReader

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

    def __init__(
        self, database: Connections, keyring: Keyring, reader: RouteReader, pilot: PilotRules
    ) -> None:
        """``reader`` is used in worker threads, by one at a time."""
        self._database, self._keyring = database, keyring
        self._reader = reader
        self._policy = reader.policy(pilot)
        self._reading = asyncio.Lock()
        self._pairs: Batches[tuple[Number700, Msisdn], Pair] = Batches(self._find, linger_s=LINGER_S)

    async def decide(self, source: str, destination: str) -> Verdict:
        """Decide for one message, numbers as the peer wrote them. Never raises for want of a database."""
        called, caller = number_of(destination), party_of(source)
        if called is None:
            return _refused(called, caller, None, Refusal(RefusalReason.NUMBER_MALFORMED))
        if caller is None:
            return _refused(called, caller, None, Refusal(RefusalReason.CALLER_UNKNOWN))
        try:
            record, in_use = await self._pairs.submit((called, caller))
            look = Look(record, in_use, time.time() if record is None else record.read_at)
            if record is None or self._policy.knows(record):
                decision = look.decide(called, caller, self._policy)
            else:  # rights have changed: they are read again
                async with self._reading:
                    decision = await asyncio.to_thread(look.decide, called, caller, self._policy)
        except QibaiError:
            return _refused(called, caller, None, Refusal(RefusalReason.STORE_UNAVAILABLE))
        if isinstance(decision, Refusal):
            return _refused(called, caller, record, decision)
        if decision.record.no_messages:
            return Verdict(called, caller, record, MessageReason.DIRECTION)
        return Verdict(called, caller, record)

    async def touch(self, record: RouteRecord) -> bool:
        """A member of a group has written to B: B's answer reaches that member. False: not noted."""
        try:
            async with self._reading:
                await asyncio.to_thread(self._reader.touch_group, record)
        except QibaiError:
            return False
        return True

    async def _find(self, pairs: Sequence[tuple[Number700, Msisdn]]) -> list[Pair]:
        async def read(conn: Connection) -> list[Pair]:
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


def _refused(
    called: Number700 | None, caller: Msisdn | None, record: RouteRecord | None, refusal: Refusal
) -> Verdict:
    return Verdict(called, caller, record, reason_of(refusal), refusal.rule)
