"""The client for asyncio. `make sync-client` writes ``sync.py`` from this file."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from qibai.client import models, requests
from qibai.client.aio_transport import AsyncTransport
from qibai.client.errors import NoAnswer, error_of
from qibai.client.requests import RETRY_STATUS, Asked, Credentials, Page, chunks, pause, too_long

T = TypeVar("T")


class AsyncClient:
    """One key's access to the platform; a context manager.

    Every method raises a kind of ``ClientError``: ``ApiError`` by the code, or ``NoAnswer``. What the
    platform does not answer, or asks to have sent again later, is sent again; binds carry an idempotency key,
    so that this never binds twice.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        signed: bool = True,
        timeout_s: float = 10.0,
        retries: int = 4,
        verify: bool | str = True,
    ) -> None:
        """``signed``: sign requests rather than send the key; ``verify``: a CA file, or False for none."""
        self._credentials = Credentials.of(api_key, signed=signed)
        self._transport = AsyncTransport(url, timeout_s=timeout_s, verify=verify)
        self._retries = retries

    async def close(self) -> None:
        """Close connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def bind(self, item: models.BindRequest, *, idempotency_key: str | None = None) -> models.Binding:
        """Make a binding; durable once this returns."""
        return await self._ask(requests.bind(item, idempotency_key))

    async def bind_many(
        self, items: Sequence[models.BindRequest], *, idempotency_key: str | None = None
    ) -> list[models.BulkBound]:
        """Make any number of bindings; the answers are in the order of the items."""
        answers: list[models.BulkBound] = []
        for number, part in enumerate(chunks(items)):
            key = None if idempotency_key is None else f"{idempotency_key}.{number}"
            bulk = await self._ask(requests.bind_bulk(part, key))
            answers += bulk.results
        return answers

    async def get(self, id: str) -> models.Binding:
        """One binding."""
        return await self._ask(requests.binding(id))

    def bindings(
        self,
        *,
        status: models.Status | None = None,
        order_id: str | None = None,
        number: str | None = None,
        mode: models.Mode | None = None,
        page: int = 100,
    ) -> AsyncIterator[models.Binding]:
        """All bindings that fit, newest first, page by page."""
        return self._pages(
            lambda cursor: requests.bindings(
                status=status, order_id=order_id, number=number, mode=mode, cursor=cursor, limit=page
            )
        )

    async def extend(
        self, id: str, *, ttl: int | None = None, expires_at: datetime | None = None
    ) -> models.Binding:
        """Let a binding end in ``ttl`` seconds from now, or at ``expires_at``."""
        return await self._ask(requests.change(id, ttl=ttl, expires_at=expires_at))

    async def change_party(self, id: str, *, a: str | None = None, b: str | None = None) -> models.Binding:
        """Put somebody else in the place of A or B."""
        return await self._ask(requests.change(id, a=a, b=b))

    async def add_members(self, id: str, members: Sequence[str]) -> models.Binding:
        """Add to a group."""
        return await self._ask(requests.members(id, "POST", members))

    async def remove_members(self, id: str, members: Sequence[str]) -> models.Binding:
        """Take out of a group."""
        return await self._ask(requests.members(id, "DELETE", members))

    async def release(self, id: str) -> models.Released:
        """End a binding; harmless for one that is over."""
        return await self._ask(requests.release(id))

    async def release_many(self, ids: Sequence[str]) -> list[models.BulkReleased]:
        """End any number of bindings; the answers are in the order of the ids."""
        answers: list[models.BulkReleased] = []
        for part in chunks(ids):
            bulk = await self._ask(requests.release_bulk(part))
            answers += bulk.results
        return answers

    async def translate(self, called: str, caller: str) -> models.Translation:
        """Where a call would go; needs a network key."""
        return await self._ask(requests.translate(called, caller))

    async def codes(self) -> list[models.Code]:
        """The tenant's codes."""
        answer = await self._ask(requests.codes())
        return answer.items

    async def call(self, id: str) -> models.Call:
        """One call record."""
        return await self._ask(requests.call(id))

    def calls(
        self,
        *,
        binding: str | None = None,
        number: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        live: bool | None = None,
        reason: str | None = None,
        peer: str | None = None,
        refused: bool | None = None,
        tenant: str | None = None,
        everyone: bool = False,
        page: int = 100,
    ) -> AsyncIterator[models.Call]:
        """All call records that fit, newest first, page by page.

        With a key that is no tenant's, give ``tenant``, or ``everyone`` for all that the key reaches.
        """
        return self._pages(
            lambda cursor: requests.calls(
                binding=binding,
                number=number,
                since=since,
                until=until,
                live=live,
                reason=reason,
                peer=peer,
                refused=refused,
                tenant=tenant,
                all=everyone or None,
                cursor=cursor,
                limit=page,
            )
        )

    async def terminate(self, id: str) -> models.Call:
        """Have a running call ended; it takes about a second."""
        return await self._ask(requests.terminate(id))

    async def send(self, item: models.SendRequest, *, idempotency_key: str | None = None) -> models.Message:
        """Send a text on behalf of a party; durable once this returns."""
        return await self._ask(requests.send(item, idempotency_key))

    async def message(self, id: str) -> models.Message:
        """One message record."""
        return await self._ask(requests.message(id))

    def messages(
        self,
        *,
        binding: str | None = None,
        order_id: str | None = None,
        state: models.MessageState | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page: int = 100,
    ) -> AsyncIterator[models.Message]:
        """All message records that fit, newest first, page by page."""
        return self._pages(
            lambda cursor: requests.messages(
                binding=binding,
                order_id=order_id,
                state=state,
                since=since,
                until=until,
                cursor=cursor,
                limit=page,
            )
        )

    async def request(self, method: str, target: str, body: Any = None) -> Any:
        """Whatever else the API has, such as ``/v1/admin/…``, as plain JSON; ``target``: path and query."""
        return await self._ask(requests.plain(method, target, body))

    async def _pages(self, page: Callable[[str | None], Asked[Any]]) -> AsyncIterator[Any]:
        """What is on all pages; ``page`` asks for the one at a cursor."""
        cursor: str | None = None
        while True:
            answer: Page[Any] = await self._ask(page(cursor))
            for item in answer.items:
                yield item
            cursor = requests.next_page(answer)
            if cursor is None:
                return

    async def _ask(self, asked: Asked[T]) -> T:
        attempt = 0
        while True:
            retry_after: str | None = None
            error: Exception
            try:
                answer = await self._transport.request(
                    asked.method, asked.target, asked.body, asked.headers(self._credentials)
                )
            except NoAnswer as exc:
                error = exc
            else:
                if 200 <= answer.status < 300:
                    return asked.read(answer.body)
                error = error_of(answer.status, answer.body)
                if answer.status not in RETRY_STATUS:
                    raise error
                retry_after = answer.retry_after
            if attempt >= self._retries or too_long(retry_after):
                raise error
            await asyncio.sleep(pause(attempt, retry_after))
            attempt += 1
