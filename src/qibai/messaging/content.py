"""What a tenant's policy makes of a text: its numbers masked or refused, its hook asked."""

import asyncio
from datetime import datetime
from typing import Final

from qibai.config import MessagingConfig
from qibai.core.content import ContentPolicy, Hook, Passed
from qibai.core.ids import format_id
from qibai.core.routing import RouteRecord
from qibai.messaging.hook import HookClient, Question
from qibai.store.connection import Connection
from qibai.store.connections import Connections
from qibai.store.keys import Keyring
from qibai.store.message_policy import StoredPolicy, get_policy, policy_aad
from qibai.store.messages import order_of

_MAX_TENANTS: Final = 10_000


class ContentRules:
    """Tenants' policies, kept together with the version of rights at which they were read."""

    def __init__(self, database: Connections, keyring: Keyring, config: MessagingConfig) -> None:
        """Raise ValueError or OSError as ``HookClient``."""
        self._database, self._keyring = database, keyring
        self._hook = HookClient(networks=config.hook_networks, ca_file=config.hook_ca)
        self._known: dict[int, tuple[int, StoredPolicy]] = {}
        self._reading = asyncio.Lock()

    async def policy(self, record: RouteRecord) -> ContentPolicy:
        """The policy for a pair that was just looked up. Raise StoreUnavailable."""
        return (await self._stored(record)).policy

    async def check(self, record: RouteRecord, text: str, id: int, at: datetime) -> Passed | None:
        """What may go on; None: nothing may. Raise StoreUnavailable."""
        stored = await self._stored(record)
        passed = stored.policy.passed(text)
        if passed is None or stored.policy.hook is not Hook.ASK:
            return passed
        return passed if await self._ask(record, stored, passed.text, id, at) else None

    async def close(self) -> None:
        await self._hook.close()

    async def _stored(self, record: RouteRecord) -> StoredPolicy:
        known = self._known.get(record.tenant_id)
        if known is not None and known[0] >= record.standing:
            return known[1]
        async with self._reading:
            known = self._known.get(record.tenant_id)
            if known is not None and known[0] >= record.standing:
                return known[1]

            async def read(conn: Connection) -> StoredPolicy:
                return await get_policy(conn, record.tenant_id)

            stored = await self._database.run(read)
            if len(self._known) >= _MAX_TENANTS:
                self._known.clear()
            self._known[record.tenant_id] = record.standing, stored
            return stored

    async def _ask(self, record: RouteRecord, stored: StoredPolicy, text: str, id: int, at: datetime) -> bool:
        code = record.called.code.value

        async def read(conn: Connection) -> str:
            return await order_of(conn, code, record.binding_id)

        question = Question(
            id=format_id("m", code, id),
            binding_id=format_id("b", code, record.binding_id),
            order_id=await self._database.run(read),
            called=str(record.called),
            text=text,
            accepted_at=at,
        )
        secret = self._keyring.open(stored.secret, policy_aad(record.tenant_id))
        return await self._hook.ask(record.tenant_id, stored.policy, secret, question)
