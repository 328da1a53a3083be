"""Acts that two persons answer for: one asks, another approves, then the first does it once, just as asked.

Persons are known by their API keys. An approver's key has to be older than the request, so that nobody makes
a second person up for it, and to be in force when the approval is used.
"""

import hmac as compare
import secrets
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg
import structlog
from psycopg.rows import class_row

from qibai.config import DualConfig
from qibai.core import trail
from qibai.core.errors import Forbidden, RequestNotFound, RequestOver, SamePerson
from qibai.core.masking import mask_text
from qibai.core.roles import DUAL, Action, Role
from qibai.store import audit
from qibai.store.actors import Actor
from qibai.store.connection import Connection
from qibai.store.dual_rule import needed
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.statements import load
from qibai.store.tenants import find_key

_log: Final = structlog.get_logger("qibai.dual")

_SQL: Final = load("dual")
_JSON: Final = msgspec.json.Encoder(order="sorted", enc_hook=str)
_ID_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody asks to do something. ``params`` is JSON: exactly what would be done."""

    id: str
    action: str
    params: str
    reason: str
    state: str  #: pending, approved, rejected, used; void: approved with a key that was revoked since
    asked_by: str
    asked_via: str
    asked_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_via: str | None
    decided_at: datetime | None
    used_at: datetime | None


class Sealed(Request, frozen=True, kw_only=True):
    """A request with its digest, which binds it to what was asked for, and the seal of its approval."""

    digest: bytes
    verdict_key_id: int
    verdict_seal: bytes

    def verdict(self, by: str, via: str) -> bytes:
        """What is sealed when ``by`` approves: this request and no other."""
        content = [self.id, self.digest.hex(), self.asked_via, self.expires_at.timestamp(), by, via]
        return b"qibai approval\0" + msgspec.json.encode(content)

    def approved(self, keyring: Keyring) -> bool:
        """Whether it was approved through the platform: with our keys, not by SQL."""
        key_id = self.verdict_key_id
        if self.decided_by is None or self.decided_via is None or not keyring.has_hash_key(key_id):
            return False
        seal = keyring.mac(key_id, self.verdict(self.decided_by, self.decided_via))
        return compare.compare_digest(seal, self.verdict_seal)

    @property
    def plain(self) -> Request:
        """What others may see."""
        return Request(**{name: getattr(self, name) for name in Request.__struct_fields__})


class Wanted(msgspec.Struct, frozen=True):
    """What somebody wants to do, exactly (``params``), and why."""

    action: Action
    params: dict[str, Any]
    why: str

    def digest(self, keyring: Keyring, key_id: int, asked_by: str) -> bytes:
        """Binds an approval to who asked, exactly for what, and why, with nothing masked."""
        content = _JSON.encode([self.action.value, self.params, self.why, asked_by])
        return keyring.mac(key_id, b"qibai dual request\0" + content)


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

    How many persons it takes is ``dual_rule``'s to say. An approved request is used up, in the transaction of
    ``conn``; it has no effect once the approver's key is revoked. A Request says who is waited for: commit
    then, and do nothing. Raise Forbidden when the actor is
    not known by a key or may not do this at all.
    """
    action = wanted.action
    actor.require(action)
    if action not in DUAL:
        raise ValueError(f"{action} needs no second person")
    if not await needed(conn, keyring, action):
        return Permit()
    if not actor.proven:
        raise Forbidden("this takes two persons, each with an API key of their own; give yours")
    key_id = keyring.hash_id
    digest = wanted.digest(keyring, key_id, actor.name)
    digests = [wanted.digest(keyring, id, actor.name) for id in keyring.all_hash_ids]
    with own_errors():
        async with conn.transaction():
            name = (
                f"dual request {digests[0].hex()}"  # of two that ask the same at once one waits for the other
            )
            await conn.execute(_SQL["one_at_a_time"], {"name": name})
            for found in await _many(conn, "open", {"digests": digests}):
                if found.state == "pending":
                    return found.plain
                if not found.approved(keyring):
                    _log.error("an approval has no seal of ours", request=found.id)
                elif not await _approver_stays(conn, keyring, found):
                    _log.warning("the key of an approval was revoked", request=found.id)
                elif (await conn.execute(_SQL["use"], {"id": found.id})).rowcount:
                    return Permit(found.plain)
            id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(10))
            new = {
                "id": id,
                "action": action.value,
                "asked_by": actor.name,
                "params": trail.canonical(wanted.params),
                "reason": mask_text(wanted.why),
                "asked_via": actor.via,
                "valid_s": config.valid_s,
                "key_id": key_id,
                "digest": digest,
            }
            asked = await _one(conn, "ask", new)
            if asked is None:
                raise RequestNotFound
            told = {"action": action, "params": wanted.params, "why": wanted.why}
            await audit.record(conn, actor, Action.DUAL_ASK, f"request:{id}", **told)
            return asked.plain


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
                raise Forbidden("an auditor can only take back the auditor's own requests")
            if approve and (
                actor.name == found.asked_by
                or actor.via == found.asked_via
                or actor.since is None
                or actor.since >= found.asked_at
            ):
                raise SamePerson
            key_id = keyring.hash_id
            verdict = {
                "id": id,
                "state": "approved" if approve else "rejected",
                "by": actor.name,
                "via": actor.via,
                "key_id": key_id,
                "seal": keyring.mac(key_id, found.verdict(actor.name, actor.via)) if approve else b"",
            }
            decided = await _one(conn, "decide", verdict)
            if decided is None:  # expired
                raise RequestOver
            told = {"action": found.action, "asked_by": found.asked_by}
            await audit.record(conn, actor, action, f"request:{id}", **told)
    return decided.plain


async def requests(conn: Connection, *, open_only: bool = True, limit: int = 200) -> list[Request]:
    """Requests, the latest first; ``open_only``: those that can still be approved or used."""
    with own_errors():
        async with conn.cursor(row_factory=class_row(Request)) as cur:
            return await (
                await cur.execute(_SQL["list"], {"open_only": open_only, "limit": limit})
            ).fetchall()


def forged(conn: psycopg.Connection[Any], keyring: Keyring) -> list[str]:
    """Ids of requests that somebody approved by SQL, without our keys: this has no effect."""
    with own_errors(), conn.cursor(row_factory=class_row(Sealed)) as cur:
        return [one.id for one in cur.execute(_SQL["approved"]) if not one.approved(keyring)]


async def _approver_stays(conn: Connection, keyring: Keyring, request: Sealed) -> bool:
    """Whether the key that approved is in force, and stays so until the end of the transaction."""
    key = await find_key(conn, keyring, (request.decided_via or "").removeprefix("key:"), hold=True)
    return key is not None and key.revoked_at is None and key.person == request.decided_by


async def _one(conn: Connection, name: str, params: dict[str, Any]) -> Sealed | None:
    found = await _many(conn, name, params)
    return found[0] if found else None


async def _many(conn: Connection, name: str, params: dict[str, Any]) -> list[Sealed]:
    async with conn.cursor(row_factory=class_row(Sealed)) as cur:
        return await (await cur.execute(_SQL[name], params)).fetchall()
