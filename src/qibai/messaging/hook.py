"""Asking a tenant's own service whether a text may go on.

The question is a CloudEvents 1.0 body, signed by Standard Webhooks; it names binding, order and 700 number,
no party's real number. The answer is ``{"action": "forward"}`` or ``{"action": "block"}``; anything else, and
silence, is what the policy's ``on_timeout`` is for.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

import aiohttp
import msgspec
import structlog
from aiohttp.abc import AbstractResolver
from aiohttp.helpers import is_ip_address
from standardwebhooks import Webhook
from yarl import URL

from qibai.core.content import ContentPolicy, OnTimeout
from qibai.messaging.addresses import AddressRefused, Allowed, CheckedResolver
from qibai.messaging.names import resolver

EVENT_TYPE: Final = "cn.qibai.message.check"
MAX_ANSWER: Final = 16_384  #: bytes
MAX_BRACKETS: Final = 1_000  #: how deep a decoder can go differs from one Python to the next
PER_HOST: Final = 20

_log = structlog.get_logger("hook")


@dataclass(frozen=True, slots=True)
class Question:
    """What the tenant's service learns. ``id`` stays the same when a message is asked about again."""

    id: str  #: the message's
    binding_id: str
    order_id: str
    called: str  #: the 700 number that was written to
    text: str = field(repr=False)
    accepted_at: datetime  #: with UTC offset


class _Data(msgspec.Struct, frozen=True):
    message_id: str
    binding_id: str
    order_id: str
    called: str
    text: str


class _Event(msgspec.Struct, frozen=True):
    specversion: str
    type: str
    source: str
    id: str
    time: datetime
    datacontenttype: str
    data: _Data


class _Answer(msgspec.Struct, frozen=True):
    action: Literal["forward", "block"]


class _NoAnswer(Exception):
    """Why there is no answer that counts; a short word without any content."""


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(_Answer)


class HookClient:
    """Asks many tenants' services at once, over connections that are kept. One per process."""

    def __init__(
        self, *, networks: Sequence[str] = (), ca_file: str = "", nameservers: Sequence[str] = ()
    ) -> None:
        """``networks``: private CIDR blocks that may be asked; ``ca_file``: authorities to trust and
        ``nameservers`` to ask, in the place of the system's. Raise ValueError for a malformed block, OSError
        for an unreadable file."""
        self._allowed, self._nameservers = Allowed(networks), nameservers
        self._tls = ssl.create_default_context(cafile=ca_file or None)
        self._session: aiohttp.ClientSession | None = None
        self._names: AbstractResolver | None = None

    async def close(self) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()
        if self._names is not None:
            await self._names.close()

    async def ask(self, tenant_id: int, policy: ContentPolicy, secret: str, question: Question) -> bool:
        """Whether the text may go on; answers within the policy's time-out in any case.

        ``secret`` is the tenant's ``whsec_…``. ``policy.url`` has passed ``ContentPolicy.check``.
        """
        try:
            async with asyncio.timeout(policy.timeout_ms / 1000):
                return await self._answer(policy.url or "", secret, question)
        except TimeoutError:
            why = "no answer in time"
        except AddressRefused:
            why = "its address is not allowed"
        except (aiohttp.ClientError, OSError) as exc:
            cause = exc.__cause__ or exc
            refused = isinstance(cause, AddressRefused)
            why = "its address is not allowed" if refused else f"not reached ({type(cause).__name__})"
        except _NoAnswer as exc:
            why = str(exc)
        goes_on = policy.on_timeout is OnTimeout.CONTINUE
        _log.warning("a tenant's hook gave no answer", tenant=tenant_id, why=why, goes_on=goes_on)
        return goes_on

    async def _answer(self, url: str, secret: str, question: Question) -> bool:
        target = URL(url)  # what is connected to is what is checked
        host = target.host or ""
        if is_ip_address(host) and not self._allowed(host):  # no name, so no resolver is asked
            raise AddressRefused("the host is at an address that is not allowed")
        now = datetime.now(UTC)
        body = _ENCODER.encode(_event(question)).decode()
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "webhook-id": question.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign(question.id, now, body),
        }
        async with self._open().post(
            target, data=body.encode(), headers=headers, allow_redirects=False
        ) as got:
            if got.status != 200:
                raise _NoAnswer(f"status {got.status}")
            answer = bytearray()
            async for chunk in got.content.iter_any():
                answer += chunk
                if len(answer) > MAX_ANSWER:
                    raise _NoAnswer("an answer too long")
        if answer.count(b"[") + answer.count(b"{") > MAX_BRACKETS:
            raise _NoAnswer("an answer with too many brackets")
        try:
            return _DECODER.decode(bytes(answer)).action == "forward"
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _NoAnswer("an answer that is not as documented") from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._names = resolver(self._nameservers)
            connector = aiohttp.TCPConnector(
                limit=0,  # no tenant waits for the connections of others
                limit_per_host=PER_HOST,
                resolver=CheckedResolver(self._names, self._allowed),
                ssl=self._tls,
                ttl_dns_cache=30,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "Qibai"},
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session


def _event(question: Question) -> _Event:
    data = _Data(question.id, question.binding_id, question.order_id, question.called, question.text)
    return _Event("1.0", EVENT_TYPE, "qibai", question.id, question.accepted_at, "application/json", data)
