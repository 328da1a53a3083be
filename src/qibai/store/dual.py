"""Acts that two persons answer for: one asks, another approves, then the first does it once, just as asked.

Persons are known by their API keys. An approver's key has to be older than the request, so that nobody makes
a second person up for it.
"""

import secrets
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg
from psycopg.rows import class_row

from qibai.config import DualConfig
from qibai.core import trail
from qibai.core.errors import Forbidden, RequestNotFound, RequestOver, SamePerson
from qibai.core.roles import DUAL, Action, Role
from qibai.store import audit
from qibai.store.actors import Actor
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.statements import load

Connection = psycopg.AsyncConnection[Any]

_SQL: Final = load("dual")
_ID_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody asks to do something. ``params`` is JSON: exactly what would be done."""

    id: str
    action: str
    params: str
    reason: str
    state: str  #: pending, approved, rejected, used
    asked_by: str
    asked_via: str
    asked_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_via: str | None
    decided_at: datetime | None
    used_at: datetime | None


class Wanted(msgspec.Struct, frozen=True):
    """What somebody wants to do, exactly (``params``), and why."""

    action: Action
    params: dict[str, Any]
    why: str


class Permit(msgspec.Struct, frozen=True):
    """The act may be done now, in this transaction. Without a request: one person is enough here."""

    request: Request | None = None

    @property
    def details(self) -> dict[str, Any]:
        """What the act's entry in the audit trail says of it."""
        if self.request is None:
            return {"second_person": None}
        one = self.request
        return {"second_person": one.decided_by, "request": one.id, "why": one.reason}


async def permit(
    conn: Connection, keyring: Keyring, config: DualConfig, actor: Actor, wanted: Wanted
) -> Permit | Request:
    """Whether ``actor`` may do what is ``wanted`` now; if not, it is asked for.

    An approved request is used up, in the transaction of ``conn``. A Request says who is waited for: commit
    then, and do nothing. Raise Forbidden when the actor is not known by a key or may not do this at all.
    """
    action = wanted.action
    actor.require(action)
    if action not in DUAL:
        raise ValueError(f"{action} needs no second person")
    if not config.two_person:
        return Permit()
    if not actor.proven:
        raise Forbidden("this takes two persons, each with an API key of their own; give yours")
    sought = {"action": action.value, "asked_by": actor.name, "params": trail.canonical(wanted.params)}
    with own_errors():
        async with conn.transaction():
            found = await _one(conn, "open", sought)
            if found is not None and found.state == "approved":
                await conn.execute(_SQL["use"], {"id": found.id})
                return Permit(found)
            if found is not None:
                return found
            id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(10))
            new = {"id": id, "reason": wanted.why, "asked_via": actor.via, "valid_s": config.valid_s}
            asked = await _one(conn, "ask", sought | new)
            if asked is None:
                raise RequestNotFound
            told = {"action": action, "params": wanted.params, "why": wanted.why}
            await audit.record(conn, actor, Action.DUAL_ASK, f"request:{id}", **told)
            return asked


async def decide(conn: Connection, keyring: Keyring, actor: Actor, id: str, *, approve: bool) -> Request:
    """Approve or reject a request; who asked can take it back by rejecting it.

    Raise Forbidden, RequestNotFound, RequestOver, or SamePerson when the approver asked, or has a key that is
    not older than the request.
    """
    action = Action.DUAL_APPROVE if approve else Action.DUAL_REJECT
    actor.require(action)
    if not actor.proven:
        raise Forbidden("a request is decided with an operator's API key; give yours")
    with own_errors():
        async with conn.transaction():
            found = await _one(conn, "lock", {"id": id})
            if found is None:
                raise RequestNotFound
            if (approve and found.state != "pending") or found.state not in ("pending", "approved"):
                raise RequestOver
            if actor.role is Role.AUDITOR and actor.name != found.asked_by:
                raise Forbidden("an auditor decides nothing but takes back what the auditor asked for")
            if approve and (
                actor.name == found.asked_by
                or actor.via == found.asked_via
                or actor.since is None
                or actor.since >= found.asked_at
            ):
                raise SamePerson
            verdict = {"state": "approved" if approve else "rejected", "by": actor.name, "via": actor.via}
            decided = await _one(conn, "decide", verdict | {"id": id})
            if decided is None:  # expired
                raise RequestOver
            told = {"action": found.action, "asked_by": found.asked_by}
            await audit.record(conn, actor, action, f"request:{id}", **told)
    return decided


async def requests(conn: Connection, *, open_only: bool = True, limit: int = 200) -> list[Request]:
    """Requests, the latest first; ``open_only``: those that can still be approved or used."""
    with own_errors():
        async with conn.cursor(row_factory=class_row(Request)) as cur:
            return await (
                await cur.execute(_SQL["list"], {"open_only": open_only, "limit": limit})
            ).fetchall()


async def needed_for_keys(conn: Connection, config: DualConfig) -> bool:
    """Whether a person's key takes two persons: as soon as two operators have ever had one."""
    with own_errors():
        row = await (await conn.execute(_SQL["operators"])).fetchone()
    return config.two_person and row is not None and row[0] >= 2


async def _one(conn: Connection, name: str, params: dict[str, Any]) -> Request | None:
    async with conn.cursor(row_factory=class_row(Request)) as cur:
        return await (await cur.execute(_SQL[name], params)).fetchone()
