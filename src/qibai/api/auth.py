"""Who asks? A bearer key, or a signature over method, path, body, time and nonce."""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from qibai.api.errors import FieldError, HttpsRequired, Invalid
from qibai.core.errors import (
    QibaiError,
    Replayed,
    SignatureStale,
    SignatureWrong,
    TenantDisabled,
    Unauthenticated,
)
from qibai.service.reach import Principal
from qibai.store import tenants
from qibai.store.actors import Actor
from qibai.store.connections import Connections
from qibai.store.group_commit import MOST_WAITING, GroupCommit
from qibai.store.keys import Keyring

WINDOW_S: Final = 300
KEY_AGE_S: Final = 1.0  #: how long a disabled tenant or a revoked key may still be taken for good
MAX_CACHED_KEYS: Final = 10_000

_ID: Final = re.compile(r"[a-z0-9]{1,32}")
_NONCE: Final = re.compile(r"[A-Za-z0-9_\-.]{8,64}")
_TIME: Final = re.compile(r"[0-9]{1,12}")
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_DIGEST: Final = re.compile(rb"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):")


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


@dataclass(slots=True)
class _Known:
    key: tenants.ApiKey | None
    read_at: float
    secret: bytes | None = field(default=None, repr=False)


@dataclass(slots=True)
class Signed:
    """A signature, and all that it covers but the body."""

    sign: Callable[[bytes], bytes] = field(repr=False)
    signature: str = field(repr=False)
    method: str
    target: str
    at: str
    nonce: str
    digest: bytes | None = None  #: SHA-256 of the body, once the signature was found to cover it

    def check(self, digest: bytes) -> None:
        """Raise SignatureWrong unless a body of this SHA-256 was signed."""
        if self.digest is not None:
            if not hmac.compare_digest(self.digest, digest):
                raise SignatureWrong
            return
        text = _covered(self.method, self.target, digest, self.at, self.nonce)
        if not hmac.compare_digest(self.sign(text).hex(), self.signature):
            raise SignatureWrong


@dataclass(frozen=True, slots=True)
class Claim:
    """Who asks. ``proven``: the headers alone prove it, so that the body may be large."""

    principal: Principal
    key_id: str
    signed: Signed | None = None

    @property
    def proven(self) -> bool:
        return self.signed is None or self.signed.digest is not None


_BESIDE_BEARER: Final = {
    b"qibai-time": _TIME,
    b"qibai-nonce": _NONCE,
    b"qibai-signature": _HEX,
    b"qibai-algorithm": re.compile("|".join(ALGORITHMS)),
}


def _covered(method: str, target: str, digest: bytes, at: str, nonce: str) -> bytes:
    """What a signature covers; ``target`` is path and query as sent."""
    return f"{method}\n{target}\n{digest.hex()}\n{at}\n{nonce}".encode()


def _content_digest(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The SHA-256 in Content-Digest (RFC 9530), if there is one."""
    found = _DIGEST.search(headers.get(b"content-digest", b""))
    return None if found is None else base64.b64decode(found[1])


def check_beside_bearer(headers: Mapping[bytes, bytes], body: bytes) -> None:
    """Hold what signers send to its documented form beside a bearer key, too, which needs none of it.

    Raise Invalid, also when Content-Digest names another body (RFC 9530).
    """
    for name, shape in _BESIDE_BEARER.items():
        if name in headers and shape.fullmatch(headers[name].decode("latin-1").lower()) is None:
            label = name.decode().title()
            raise Invalid([FieldError(label, "request_invalid", "not in the documented form")])
    if b"content-digest" in headers and _content_digest(headers) != hashlib.sha256(body).digest():
        message = "give sha-256=:…: of the body (RFC 9530)"
        raise Invalid([FieldError("Content-Digest", "request_invalid", message)])


class Authenticator:
    """Checks requests; reads a key at most once a second from the store."""

    def __init__(self, connections: Connections, keyring: Keyring, *, plain_bearer: bool = False) -> None:
        """``plain_bearer``: take bearer keys over plain HTTP from anywhere."""
        self._connections, self._keyring, self._plain_bearer = connections, keyring, plain_bearer
        self._known: dict[str, _Known] = {}
        self._reading: dict[str, asyncio.Task[_Known]] = {}
        self._nonces: GroupCommit[None, tuple[str, str], bool] = GroupCommit(
            self._remember, lanes=1, max_waiting=MOST_WAITING
        )

    async def check(
        self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], method: str, target: str, body: bytes
    ) -> Principal:
        """Who asks, of a request that is there whole. Raise as ``identify`` and ``confirm``."""
        claim = await self.identify(scope, headers, method, target)
        await self.confirm(claim, body)
        return claim.principal

    async def identify(
        self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], method: str, target: str
    ) -> "Claim":
        """Who asks, by the headers alone: the body need not be there yet.

        Raise Unauthenticated or one of its kinds, TenantDisabled, HttpsRequired or StoreUnavailable.
        """
        if b"qibai-key" in headers:
            return await self._identify_signer(headers, method, target)
        scheme, _, bearer = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        parsed = tenants.parse_bearer(bearer.strip()) if scheme.lower() == "bearer" else None
        if parsed is None or _ID.fullmatch(parsed[0]) is None:
            raise Unauthenticated
        if not self._plain_bearer and scope["scheme"] != "https" and not is_loopback(scope.get("client")):
            raise HttpsRequired
        known = await self._find(parsed[0])
        if known.key is None or not known.key.matches(parsed[1]):
            raise Unauthenticated
        return Claim(_admit(known.key), known.key.id)

    async def confirm(self, claim: "Claim", body: bytes) -> None:
        """The signature covers this body, and its nonce is new. Raise SignatureWrong, Replayed."""
        signed = claim.signed
        if signed is None:
            return
        signed.check(hashlib.sha256(body).digest())
        if not await self._nonces.submit(None, (claim.key_id, signed.nonce)):
            raise Replayed

    async def _identify_signer(self, headers: Mapping[bytes, bytes], method: str, target: str) -> "Claim":
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
        signed = Signed(partial(sign, known.secret), signature, method, target, at, nonce)
        digest = _content_digest(headers)
        if digest is not None:
            signed.check(digest)
            signed.digest = digest
        return Claim(_admit(known.key), key_id, signed)

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
            known = _Known(await tenants.find_key(conn, self._keyring, id), read_at)
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


def is_loopback(client: tuple[str, int] | None) -> bool:
    try:
        return client is not None and ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False
