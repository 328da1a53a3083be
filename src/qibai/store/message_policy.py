"""Tenants' policies for the text of their messages, and the secret that signs the questions of their hooks.

Every change counts up ``standing.version``: whoever keeps a policy keeps that number with it.
"""

import base64
import secrets
from dataclasses import dataclass, field

from qibai.core.content import DEFAULT_POLICY, ContentPolicy, Hook, NumbersInText, OnTimeout
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.statements import load

_SQL = load("message_policy")


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy with its hook's secret, sealed; empty for a tenant that has set none."""

    policy: ContentPolicy
    secret: bytes = field(default=b"", repr=False)


def policy_aad(tenant_id: int) -> bytes:
    """What a sealed hook secret is tied to."""
    return b"message_policy:" + str(tenant_id).encode()


async def get_policy(conn: Connection, tenant_id: int) -> StoredPolicy:
    """The tenant's policy, or the default. Raise StoreUnavailable."""
    with own_errors():
        row = await (await conn.execute(_SQL["get_policy"], {"tenant_id": tenant_id})).fetchone()
    if row is None:
        return StoredPolicy(DEFAULT_POLICY)
    numbers, hook, url, timeout_ms, on_timeout, secret = row
    policy = ContentPolicy(NumbersInText(numbers), Hook(hook), url, timeout_ms, OnTimeout(on_timeout))
    return StoredPolicy(policy, secret)


async def set_policy(
    conn: Connection,
    keyring: Keyring,
    tenant_id: int,
    policy: ContentPolicy,
    *,
    plain_http: bool = False,
    new_secret: bool = False,
) -> str:
    """From now on; returns the hook's signing secret (``whsec_…``), a new one the first time or on demand.

    Raise BadRequest, see ``ContentPolicy.check``, or StoreUnavailable.
    """
    policy.check(plain_http=plain_http)
    made = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    params = {
        "tenant_id": tenant_id,
        "numbers": policy.numbers.value,
        "hook": policy.hook.value,
        "url": policy.url,
        "timeout_ms": policy.timeout_ms,
        "on_timeout": policy.on_timeout.value,
        "secret": keyring.seal(made, policy_aad(tenant_id)),
        "new_secret": new_secret,
    }
    with own_errors():
        row = await (await conn.execute(_SQL["set_policy"], params)).fetchone()
    assert row is not None  # noqa: S101  # the statement always returns its row
    return keyring.open(row[0], policy_aad(tenant_id))
