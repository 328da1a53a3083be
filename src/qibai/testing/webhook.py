"""A tenant's service that the platform asks about texts (the content hook). It keeps what it was sent."""

import asyncio
import json
import socket
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from standardwebhooks import Webhook


@dataclass
class WebhookReceiver:
    """An HTTP server on loopback that takes every POST; an asynchronous context manager.

    It answers ``status`` with ``answer`` (octets as they are, anything else as JSON), after ``delay_s``
    seconds. They may be changed while it runs.
    """

    host: str = "127.0.0.1"
    port: int = 0  #: 0: any that is free; then the one that it has
    answer: Any = field(default_factory=lambda: {"action": "forward"})
    status: int = 200
    delay_s: float = 0
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)  #: headers and body of each

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.host}:{self.port}/check"

    def events(self, secret: str) -> list[dict[str, Any]]:
        """What was sent, read. Raise WebhookVerificationError if one is not signed with ``secret``."""
        return [Webhook(secret).verify(body, headers) for headers, body in self.requests]

    async def __aenter__(self) -> Self:
        listening = socket.create_server((self.host, self.port))
        self.port = listening.getsockname()[1]
        app = web.Application()
        app.router.add_post("/{place}", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        await asyncio.sleep(self.delay_s)
        body = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        headers = {"Location": f"{self.url}/elsewhere"} if 300 <= self.status < 400 else {}
        return web.Response(status=self.status, body=body, headers=headers)
