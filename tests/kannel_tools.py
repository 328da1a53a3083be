"""Kannel, the SMS gateway that Debian has, as an ESME: bearerbox binds to us, smsbox has HTTP."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlencode

import aiohttp
from aiohttp import web

from qibai.testing.ports import free_port
from smpp_tools import SECRET, eventually

_CONFIG = """\
group = core
admin-port = {admin}
admin-password = secret
smsbox-port = {box}
box-allow-ip = 127.0.0.1
sms-resend-freq = 1
log-file = "{folder}/bearerbox.log"
log-level = 0

group = smsc
smsc = smpp
smsc-id = qibai
host = 127.0.0.1
port = {port}
transceiver-mode = true
smsc-username = {account}
smsc-password = {secret}
system-type = ""
reconnect-delay = 1
use-ssl = {tls}

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {send}
log-file = "{folder}/smsbox.log"
log-level = 0

group = sendsms-user
username = test
password = secret
concatenation = true
max-messages = 10

group = sms-service
keyword = default
catch-all = true
max-messages = 0
get-url = "http://127.0.0.1:{http}/message?source=%p&destination=%P&text=%b&coding=%c&charset=%C"
"""


@dataclass
class Kannel:
    folder: Path
    send_port: int
    http_port: int
    messages: list[dict[str, str]] = field(default_factory=list)  #: what its users got
    receipts: list[dict[str, str]] = field(default_factory=list)

    async def send(self, source: str, destination: str, text: str) -> None:
        """As a user of Kannel; its mask 31 asks for every kind of receipt."""
        receipt = f"http://127.0.0.1:{self.http_port}/receipt?status=%d"
        given = {
            "username": "test",
            "password": "secret",
            "from": source,
            "to": destination,
            "text": text,
            "charset": "UTF-8",
            "coding": "0" if text.isascii() else "2",
            "dlr-mask": "31",
            "dlr-url": receipt,
        }
        url = f"http://127.0.0.1:{self.send_port}/cgi-bin/sendsms?{urlencode(given)}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert response.status == 202, await response.text()

    def knows_its_user(self) -> bool:
        """smsbox listens a moment before it has read who may send. If it is asked then, it may crash."""
        log = self.folder / "smsbox.log"
        return log.exists() and "Connected to bearerbox" in log.read_text("utf-8", "replace")

    def texts(self) -> list[str]:
        return [message["text"] for message in self.messages]

    def statuses(self) -> list[int]:
        """1 delivered, 2 failed, 8 taken, 16 refused by us."""
        return [int(receipt["status"]) for receipt in self.receipts]


@contextlib.asynccontextmanager
async def kannel(
    folder: Path, port: int, *, account: str = "peer", tls: bool = False
) -> AsyncIterator[Kannel]:
    """Kannel bound to our server on ``port``."""
    admin, box, send, http = (free_port("127.0.0.1", socket.SOCK_STREAM) for _ in range(4))
    made = Kannel(folder, send, http)

    async def message(request: web.Request) -> web.Response:
        quoted = dict(pair.split("=", 1) for pair in request.rel_url.raw_query_string.split("&"))
        text = unquote_to_bytes(quoted["text"].replace("+", " "))
        made.messages.append(dict(request.query) | {"text": text.decode(quoted["charset"])})
        return web.Response()

    async def receipt(request: web.Request) -> web.Response:
        made.receipts.append(dict(request.query))
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/message", message), web.get("/receipt", receipt)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", http).start()
    config = folder / "kannel.conf"
    values = {
        "account": account,
        "admin": admin,
        "box": box,
        "send": send,
        "http": http,
        "port": port,
        "secret": SECRET,
    }
    config.write_text(_CONFIG.format(folder=folder, tls="true" if tls else "false", **values))
    boxes = []
    quiet = asyncio.subprocess.DEVNULL
    try:
        for program, ready in (("bearerbox", box), ("smsbox", send)):
            boxes.append(
                await asyncio.create_subprocess_exec(
                    program, "-v", "4", str(config), stdout=quiet, stderr=quiet
                )
            )
            await eventually(lambda ready=ready: _listens(ready), program)
        await eventually(made.knows_its_user, "smsbox knows its user")
        yield made
    finally:
        for process in reversed(boxes):
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                process.kill()
            await process.wait()
        await runner.cleanup()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
