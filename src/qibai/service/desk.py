"""A desk: who acts, and the transaction in which an act is done and entered in the audit trail."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from qibai.config import Config
from qibai.core.errors import SecondPersonRequired
from qibai.core.pilot import pilot_time
from qibai.core.roles import Action
from qibai.store import audit, dual
from qibai.store.actors import Actor
from qibai.store.anchors import Witness
from qibai.store.connection import Connection
from qibai.store.dual import Permit, Request, Wanted
from qibai.store.dual_rule import needed
from qibai.store.keys import Keyring

T = TypeVar("T")
Prove = Callable[[Connection], Awaitable[Actor]]
ACT_TIMEOUT_S: Final = 60.0  #: an act for a hundred thousand codes takes so long


class _Waits(Exception):
    """A second person has to approve ``request`` first; nothing else was done."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.id)
        self.request = request


class Desk:
    """One act of one person. ``conn`` is in the transaction of the act."""

    def __init__(
        self, conn: Connection, actor: Actor, keyring: Keyring, config: Config, prove: Prove | None = None
    ) -> None:
        """``prove``: who acts, by an API key, for acts that take two persons; it raises Unauthenticated.

        None: ``actor`` is proven already.
        """
        self.conn = conn
        self.actor = actor
        self.keyring = keyring
        self.config = config
        self._prove = prove

    async def enter(self, action: Action, subject: str, /, **details: Any) -> None:
        """Enter in the audit trail what was done to ``subject``. Raise Forbidden, StoreUnavailable."""
        await audit.record(self.conn, self.actor, action, subject, **details)

    async def enter_change(self, what: str, subject: str, /, **details: Any) -> None:
        """``enter`` for a change of numbers, papers and who may use them."""
        await self.enter(Action.RESOURCE_CHANGE, subject, what=what, **details)

    async def prove(self) -> None:
        """Have whoever acts prove who that is. Raise Unauthenticated."""
        if self._prove is not None:
            self.actor = await self._prove(self.conn)

    async def second(self, action: Action, params: dict[str, Any], why: str) -> Permit:
        """Have the act seconded, before anything is done, where the rule wants two persons.

        ``params``: all that the second person approves. Raise Forbidden, Unauthenticated, StoreUnavailable.
        """
        if await needed(self.conn, self.keyring, action):
            await self.prove()
        wanted = Wanted(action, params, why)
        found = await dual.permit(self.conn, self.keyring, self.config.dual, self.actor, wanted)
        if isinstance(found, Request):
            raise _Waits(found)
        return found


async def perform(desk: Desk, witness: Witness, act: Callable[[Desk], Awaitable[T]]) -> T:
    """Do ``act`` in a transaction of its own on the desk's connection, anchored before this returns.

    Raise SecondPersonRequired once a second person was asked for, AuditUnanchored, StoreUnavailable, and what
    the act raises; nothing was done then.
    """
    async with audit.acts(desk.conn, witness):
        try:
            return await act(desk)
        except _Waits as exc:  # that it was asked for is kept
            waits = exc.request
    raise SecondPersonRequired(
        f"another operator has to approve {waits.id} first: qibai dual approve {waits.id};"
        " then do the same again"
    )


def by_the_rules(at: datetime | None = None) -> datetime:
    """The time that was given, else now as the pilot's rules have it."""
    return at or datetime.fromtimestamp(pilot_time(time.time()), UTC)
