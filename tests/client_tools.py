"""Both clients of the API by one set of tests."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self

from qibai.client import AsyncClient, Client


class AsyncClientWaitedFor:
    """An ``AsyncClient`` with the methods of ``Client``: each call runs until it is done."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._client = AsyncClient(*args, **options)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._runner.run(self._client.__aenter__())
        return self

    def __exit__(self, *exc: Any) -> None:
        self._runner.run(self._client.__aexit__(*exc))
        self._runner.close()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        async def run(args: Any, options: Any) -> Any:
            result = method(*args, **options)
            if isinstance(result, AsyncIterator):
                return [item async for item in result]
            return await result

        return lambda *args, **options: self._runner.run(run(args, options))


#: What makes a client: the one that waits, and the one for asyncio.
BOTH = [Client, AsyncClientWaitedFor]
