"""Telling users by text message which 700 number they are to dial from now on: through the message path."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from qibai.core.binding import Status
from qibai.core.errors import BadRequest
from qibai.core.numbering import Msisdn, Number700
from qibai.core.routing import RouteRecord
from qibai.store.bindings import Binding, Idempotency
from qibai.store.bindings.query import get_many
from qibai.store.connection import Connection
from qibai.store.crypto import binding_aad
from qibai.store.existing.run import Step
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.messages import PlatformMessage, enqueue
from qibai.store.statements import load

NUMBER: Final = "{number}"  #: stands in a text for the number that its reader is to dial
TEXT: Final = "您的号码保护号码已更换，联系对方请拨打" + NUMBER + "。"
LONGEST: Final = 300  #: characters of a text
_PAGE: Final = 500
_SQL: Final = load("migration")


class Notices:
    """Puts a message for each party of each moved binding into the queue; ``conn`` is in autocommit mode."""

    def __init__(
        self, conn: Connection, keyring: Keyring, tenant_id: int, text: str, valid: timedelta
    ) -> None:
        """Raise BadRequest when the text does not say the number, or is too long."""
        if NUMBER not in text or len(text) > LONGEST:
            raise BadRequest(f"the text needs {NUMBER}, and at most {LONGEST} characters", field="text")
        self._conn, self._keyring, self._tenant_id = conn, keyring, tenant_id
        self._text, self._valid = text, valid

    async def run(self, step: Step, *, rate: float | None = None) -> int:
        """For all live bindings whose parties have no message yet; returns how many messages were queued.

        A binding is marked as done after both its messages are queued. After a stop between them, a second
        run on the same day queues neither twice. ``rate``: bindings a second at most. Raise StoreUnavailable.
        """
        began, told, after = time.monotonic(), 0, -1
        while True:
            with own_errors():
                params = {"tenant": self._tenant_id, "after": after, "limit": _PAGE}
                rows = await (await self._conn.execute(_SQL["not_told"], params)).fetchall()
            if not rows:
                return 2 * told
            found = await get_many(self._conn, self._keyring, self._tenant_id, [(r[2], r[3]) for r in rows])
            for home, id, code, new_id in rows:
                binding = found.get((code, new_id))
                if binding is not None and binding.status(datetime.now(UTC)) is Status.ACTIVE:
                    await self._tell(binding)
                    told += 1
                    with own_errors():
                        await self._conn.execute(_SQL["told"], {"code": home, "id": id})
                    if rate is not None:
                        await asyncio.sleep(max(0.0, told / rate - (time.monotonic() - began)))
            after = rows[-1][1]
            step("told", told, None)

    async def _tell(self, binding: Binding) -> None:
        everyone = binding.parties.everyone
        for (dials, reader), pair in binding.pairs().items():
            other, theirs = everyone[pair.callee], binding.numbers[pair.shown]
            now = datetime.now(UTC)
            message = PlatformMessage(
                record=self._record(binding, reader, other, (dials, theirs)),
                text=self._text.replace(NUMBER, str(dials)),
                valid_until=now + self._valid,
            )
            key = f"notice {binding.code} {binding.id} {dials} {not pair.by_b}".encode()
            await enqueue(
                self._conn, self._keyring, message, now=now, idempotency=Idempotency(key, self._text.encode())
            )

    def _record(
        self, binding: Binding, reader: Msisdn, other: Msisdn, numbers: Sequence[Number700]
    ) -> RouteRecord:
        """As if ``other`` wrote: ``reader`` sees the number that they are to dial."""
        aad, seal = binding_aad(binding.code, binding.id), self._keyring.seal
        shown, called = numbers
        return RouteRecord(
            called=called,
            binding_id=binding.id,
            tenant_id=self._tenant_id,
            shown=shown,
            callee_sealed=seal(reader.e164, aad),
            caller_sealed=seal(other.e164, aad),
            ends_at=binding.expires_at.timestamp(),
            max_call_s=binding.max_call_s,
            to_group=False,
            from_group=False,
        )
