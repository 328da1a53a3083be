"""Tenants, their API keys, and the nonces of signed requests.

An API key is a public id and one secret. The secret serves as the bearer key ``qb_<id>_<secret>`` and as the
HMAC key of signed requests; it is shown once, and kept as a digest and sealed. It is sealed together with the
key's role and holder, so that a row that somebody wrote or changed by SQL opens nothing.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg
import structlog
from psycopg.rows import class_row

from qibai.core.errors import BadRequest, Conflict, KeyUnknown, SealBroken, TenantNotFound
from qibai.core.roles import Role
from qibai.core.typed import checked_name, without_number
from qibai.store.actors import person_name
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.statements import load

TENANT_NAME_KEY: Final = "tenant_name_key"
_ID_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
_SQL: Final = load("tenants")
_log: Final = structlog.get_logger("qibai.keys")


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer of the platform; a disabled one can neither bind nor read."""

    id: int
    name: str
    disabled_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored API key, without its clear secret. It belongs to a tenant, to a platform, or to a person."""

    id: str
    kind: Role
    tenant_id: int | None
    tenant: str | None
    platform_id: int | None
    platform: str | None
    person: str | None
    digest: bytes = field(repr=False)
    secret: bytes = field(repr=False)  #: sealed
    created_at: datetime
    revoked_at: datetime | None
    tenant_disabled: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", Role(self.kind))

    @property
    def holder(self) -> str:
        """Whose it is, as the audit trail names them."""
        if self.person is not None:
            return self.person
        return f"platform:{self.platform}" if self.platform_id is not None else f"tenant:{self.tenant}"

    def matches(self, secret: str) -> bool:
        """Whether ``secret`` is this key's; takes as long for any answer."""
        return hmac.compare_digest(self.digest, _digest(secret))

    def signing_secret(self, keyring: Keyring) -> str:
        """The clear secret, to verify a signature with. Raise KeyUnknown, SealBroken."""
        aad = api_key_aad(self.id, self.kind, self.tenant_id, self.platform_id, self.person)
        return keyring.open(self.secret, aad)

    def is_genuine(self, keyring: Keyring) -> bool:
        """Whether the platform made this key, and for this role and holder. Raise KeyUnknown."""
        try:
            return self.matches(self.signing_secret(keyring))
        except SealBroken:
            return False


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """An API key at the one moment when its secret is known."""

    id: str
    secret: str = field(repr=False)

    @property
    def bearer(self) -> str:
        return f"qb_{self.id}_{self.secret}"


def api_key_aad(
    id: str, kind: str, tenant_id: int | None, platform_id: int | None, person: str | None
) -> bytes:
    """What a sealed API secret is tied to: the key's id, its role and whose it is."""
    return b"api_key:" + msgspec.json.encode([id, str(kind), tenant_id, platform_id, person])


def parse_bearer(text: str) -> tuple[str, str] | None:
    """(id, secret) of ``qb_<id>_<secret>``, or None when ``text`` has another shape."""
    prefix, _, rest = text.partition("_")
    id, _, secret = rest.partition("_")
    return (id, secret) if prefix == "qb" and id and secret and text.isascii() else None


async def add_tenant(conn: Connection, name: str) -> Tenant:
    """Raise Conflict when the name is taken, BadName, NumberNotAllowed."""
    checked_name(name, "name")
    try:
        return await _one(conn, "add_tenant", name)
    except psycopg.errors.UniqueViolation as exc:
        if exc.diag.constraint_name == TENANT_NAME_KEY:
            raise Conflict("a tenant of this name exists already", field="name") from None
        raise


async def list_tenants(conn: Connection) -> list[Tenant]:
    """All tenants, oldest first."""
    with own_errors():
        async with conn.cursor(row_factory=class_row(Tenant)) as cur:
            return await (await cur.execute(_SQL["list_tenants"])).fetchall()


async def find_tenant(conn: Connection, name: str) -> Tenant:
    """Raise TenantNotFound."""
    return await _one(conn, "find_tenant", name)


async def disable_tenant(conn: Connection, name: str) -> Tenant:
    """Shut a tenant out of the API; calls of its bindings go on. Raise TenantNotFound."""
    return await _one(conn, "disable_tenant", name)


async def enable_tenant(conn: Connection, name: str) -> Tenant:
    """Undo ``disable_tenant``. Raise TenantNotFound."""
    return await _one(conn, "enable_tenant", name)


async def add_key(
    conn: Connection,
    keyring: Keyring,
    tenant_id: int | None = None,
    kind: Role = Role.TENANT,
    *,
    platform_id: int | None = None,
    person: str | None = None,
) -> NewApiKey:
    """Make a key of the role ``kind``; the answer is the only place where its secret is seen in clear.

    It belongs to a tenant (TENANT, NETWORK), to an application platform (PLATFORM) or to a person (OPERATOR,
    AUDITOR), whose name is written in one way only: without blanks at its ends, in small letters.
    Raise BadRequest when the role needs another owner, TenantNotFound.
    """
    person = without_number(person_name(person), "person") if person is not None else None
    if (tenant_id is not None, platform_id is not None, person is not None) != (
        kind.of_tenant,
        kind is Role.PLATFORM,
        kind.of_person,
    ):
        raise BadRequest(f"a key of the role {kind} needs its tenant, its platform or its person, just that")
    new = NewApiKey("".join(secrets.choice(_ID_ALPHABET) for _ in range(12)), secrets.token_urlsafe(32))
    params = {
        "id": new.id,
        "tenant_id": tenant_id,
        "platform_id": platform_id,
        "person": person,
        "kind": kind.value,
        "digest": _digest(new.secret),
        "secret": keyring.seal(new.secret, api_key_aad(new.id, kind.value, tenant_id, platform_id, person)),
    }
    try:
        with own_errors():
            await conn.execute(_SQL["add_key"], params)
    except psycopg.errors.ForeignKeyViolation:
        raise TenantNotFound from None
    return new


async def find_key(conn: Connection, keyring: Keyring, id: str, *, hold: bool = False) -> ApiKey | None:
    """The key of that public id, revoked ones too; the caller looks at ``revoked_at``.

    ``hold``: nobody revokes it before the end of the transaction of ``conn``. None also for a row that the
    platform did not write: that is logged, and ``doctor`` names it. Raise KeyUnknown, StoreUnavailable.
    """
    with own_errors():
        async with conn.cursor(row_factory=class_row(ApiKey)) as cur:
            key = await (await cur.execute(_SQL["hold_key" if hold else "find_key"], {"id": id})).fetchone()
    if key is not None and not key.is_genuine(keyring):
        _log.error("api key not genuine", key_id=key.id, role=key.kind)
        return None
    return key


def not_genuine(conn: psycopg.Connection[Any], keyring: Keyring) -> list[ApiKey]:
    """The keys that stand in the database and that the platform did not make so, revoked ones left out."""
    with own_errors(), conn.cursor(row_factory=class_row(ApiKey)) as cur:
        keys = cur.execute(_SQL["list_keys"], {"tenant_id": None}).fetchall()
    return [key for key in keys if key.revoked_at is None and not _opens(key, keyring)]


def _opens(key: ApiKey, keyring: Keyring) -> bool:
    """``is_genuine``; False also for a seal of an unknown key: whoever writes by SQL may name any."""
    try:
        return key.is_genuine(keyring)
    except KeyUnknown:
        return False


async def list_keys(conn: Connection, tenant_id: int | None = None) -> list[ApiKey]:
    """The tenant's keys, or all there are, oldest first."""
    with own_errors():
        async with conn.cursor(row_factory=class_row(ApiKey)) as cur:
            return await (await cur.execute(_SQL["list_keys"], {"tenant_id": tenant_id})).fetchall()


async def revoke_key(conn: Connection, id: str) -> bool:
    """Make a key useless for good; False when there is none of that id."""
    with own_errors():
        return await (await conn.execute(_SQL["revoke_key"], {"id": id})).fetchone() is not None


async def remember_nonces(conn: Connection, seen: Sequence[tuple[str, str]]) -> list[bool]:
    """Note signed requests, each by its (key id, nonce). For each: True unless it was seen before.

    Of equal ones in ``seen`` only the first is new.
    """
    params = {"keys": [key for key, _ in seen], "nonces": [nonce for _, nonce in seen]}
    with own_errors():
        new = set(await (await conn.execute(_SQL["remember_nonces"], params)).fetchall())
    answers = []
    for item in seen:
        answers.append(item in new)
        new.discard(item)
    return answers


async def _one(conn: Connection, statement: str, name: str) -> Tenant:
    with own_errors():
        async with conn.cursor(row_factory=class_row(Tenant)) as cur:
            found = await (await cur.execute(_SQL[statement], {"name": name})).fetchone()
    if found is None:
        raise TenantNotFound
    return found


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
