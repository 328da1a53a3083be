"""Who asks? A bearer key, or a signature over method, path, body, time and nonce."""

import asyncio
import hashlib
import hmac
import ipaddress
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from qibai.api.connections import Connections
from qibai.api.errors import HttpsRequired
from qibai.api.groupcommit import GroupCommit
from qibai.core.errors import (
    Forbidden,
    QibaiError,
    Replayed,
    SignatureStale,
    SignatureWrong,
    TenantDisabled,
    Unauthenticated,
)
from qibai.core.roles import Role
from qibai.store import tenants
from qibai.store.audit import Actor
from qibai.store.keys import Keyring

WINDOW_S: Final = 300
KEY_AGE_S: Final = 1.0  #: how long a disabled tenant or a revoked key may still be taken for good
MAX_CACHED_KEYS: Final = 10_000

_ID: Final = re.compile(r"[a-z0-9]{1,32}")
_NONCE: Final = re.compile(r"[A-Za-z0-9_\-.]{8,64}")
_TIME: Final = re.compile(r"[0-9]{1,12}")
_HEX: Final = re.compile(r"[0-9a-f]{64}")


def _hmac_sha256(secret: bytes, text: bytes) -> bytes:
    return hmac.digest(secret, text, "sha256")


def _hmac_sm3(secret: bytes, text: bytes) -> bytes:
    mac = HMAC(secret, hashes.SM3())
    mac.update(text)
    return mac.finalize()


ALGORITHMS: Final[dict[str, Callable[[bytes, bytes], bytes]]] = {
    "hmac-sha256": _hmac_sha256,
    "hmac-sm3": _hmac_sm3,
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever proved to hold an API key: what it makes of them, and how far they reach."""

    role: Role
    actor: Actor
    tenant: int | None  #: the one tenant that is seen
    platform: int | None  #: the one platform whose tenants are seen

    @property
    def tenant_id(self) -> int:
        """The tenant that asks. Raise Forbidden when it is no tenant."""
        if self.tenant is None:
            raise Forbidden
        return self.tenant


@dataclass(slots=True)
class _Known:
    key: tenants.ApiKey | None
    read_at: float
    secret: bytes | None = field(default=None, repr=False)


def signed_text(method: str, target: str, body: bytes, at: str, nonce: str) -> bytes:
    """What a signature covers; ``target`` is path and query as sent."""
    return f"{method}\n{target}\n{hashlib.sha256(body).hexdigest()}\n{at}\n{nonce}".encode()


class Authenticator:
    """Checks requests; reads a key at most once a second from the store."""

    def __init__(self, connections: Connections, keyring: Keyring, *, plain_bearer: bool = False) -> None:
        """``plain_bearer``: take bearer keys over plain HTTP from anywhere."""
        self._connections, self._keyring, self._plain_bearer = connections, keyring, plain_bearer
        self._known: dict[str, _Known] = {}
        self._reading: dict[str, asyncio.Task[_Known]] = {}
        self._nonces: GroupCommit[None, tuple[str, str], bool] = GroupCommit(self._remember, lanes=1)

    async def check(
        self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], method: str, target: str, body: bytes
    ) -> Principal:
        """Raise Unauthenticated or one of its kinds, TenantDisabled, HttpsRequired or StoreUnavailable."""
        if b"qibai-key" in headers:
            return await self._check_signature(headers, method, target, body)
        scheme, _, bearer = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        parsed = tenants.parse_bearer(bearer.strip()) if scheme.lower() == "bearer" else None
        if parsed is None or _ID.fullmatch(parsed[0]) is None:
            raise Unauthenticated
        if not self._plain_bearer and scope["scheme"] != "https" and not _is_loopback(scope.get("client")):
            raise HttpsRequired
        known = await self._find(parsed[0])
        if known.key is None or not known.key.matches(parsed[1]):
            raise Unauthenticated
        return _admit(known.key)

    async def _check_signature(
        self, headers: Mapping[bytes, bytes], method: str, target: str, body: bytes
    ) -> Principal:
        key_id, at, nonce, signature, algorithm = (
            headers.get(name, default).decode("latin-1")
            for name, default in (
                (b"qibai-key", b""),
                (b"qibai-time", b""),
                (b"qibai-nonce", b""),
                (b"qibai-signature", b""),
                (b"qibai-algorithm", b"hmac-sha256"),
            )
        )
        sign = ALGORITHMS.get(algorithm.lower())
        signature = signature.lower()
        shapes = ((_ID, key_id), (_TIME, at), (_NONCE, nonce), (_HEX, signature))
        if sign is None or any(shape.fullmatch(text) is None for shape, text in shapes):
            raise SignatureWrong
        if abs(time.time() - int(at)) > WINDOW_S:
            raise SignatureStale
        known = await self._find(key_id)
        if known.key is None:
            raise Unauthenticated
        if known.secret is None:
            known.secret = known.key.signing_secret(self._keyring).encode()
        right = sign(known.secret, signed_text(method, target, body, at, nonce)).hex()
        if not hmac.compare_digest(right, signature):
            raise SignatureWrong
        principal = _admit(known.key)
        if not await self._nonces.submit(None, (key_id, nonce)):
            raise Replayed
        return principal

    async def _find(self, id: str) -> _Known:
        known = self._known.get(id)
        if known is not None and time.monotonic() - known.read_at < KEY_AGE_S:
            return known
        task = self._reading.get(id)
        if task is None:
            task = self._reading[id] = asyncio.create_task(self._read(id))
            task.add_done_callback(lambda _: self._reading.pop(id, None))
        return await asyncio.shield(task)

    async def _read(self, id: str) -> _Known:
        read_at = time.monotonic()
        async with self._connections.get(timeout_s=2.0) as conn:
            known = _Known(await tenants.find_key(conn, id), read_at)
        if len(self._known) >= MAX_CACHED_KEYS:
            self._known.clear()
        self._known[id] = known
        return known

    async def _remember(self, _: None, seen: Sequence[tuple[str, str]]) -> Sequence[bool | QibaiError]:
        async with self._connections.get(timeout_s=2.0) as conn:
            return await tenants.remember_nonces(conn, seen)


def _admit(key: tenants.ApiKey) -> Principal:
    if key.revoked_at is not None:
        raise Unauthenticated
    if key.tenant_disabled:
        raise TenantDisabled
    actor = Actor(key.holder, key.kind, f"key:{key.id}", key.created_at)
    return Principal(key.kind, actor, key.tenant_id, key.platform_id)


def _is_loopback(client: tuple[str, int] | None) -> bool:
    try:
        return client is not None and ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False
