"""A logical call: what is asked, what comes back, and how it is signed and tried again. No I/O."""

import base64
import hashlib
import hmac
import logging
import random
import secrets
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from qibai.client import models

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Page(Protocol[T_co]):
    """One page of a list."""

    @property
    def items(self) -> Sequence[T_co]: ...

    @property
    def next_cursor(self) -> str | None: ...

    @property
    def unreadable(self) -> Sequence[str]: ...


_log: Final = logging.getLogger("qibai.client")


def next_page(page: Page[Any]) -> str | None:
    """The cursor of the page after ``page``; a warning names rows that the platform could not read."""
    if page.unreadable:
        _log.warning("the platform cannot read the stored numbers of %s", ", ".join(page.unreadable))
    return page.next_cursor


RETRY_STATUS: Final = frozenset({429, 502, 503, 504})
_LONGEST_PAUSE_S: Final = 20.0
MAX_BULK: Final = 5_000  #: items of one bulk request


class KeyMalformed(ValueError):
    """This is no API key."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key ``qb_<id>_<secret>``; ``signed``: the secret itself is never sent."""

    key_id: str
    secret: str
    signed: bool

    @classmethod
    def of(cls, api_key: str, *, signed: bool) -> "Credentials":
        """Raise KeyMalformed when this is no API key."""
        prefix, _, rest = api_key.partition("_")
        key_id, _, secret = rest.partition("_")
        if prefix != "qb" or not key_id or not secret:
            raise KeyMalformed("an API key looks like qb_<id>_<secret>")
        return cls(key_id, secret, signed)

    def headers(self, method: str, target: str, body: bytes) -> dict[str, str]:
        """What proves who asks; new for every attempt."""
        if not self.signed:
            return {"Authorization": f"Bearer qb_{self.key_id}_{self.secret}"}
        at, nonce = str(int(time.time())), secrets.token_urlsafe(18)
        digest = hashlib.sha256(body)
        text = f"{method}\n{target}\n{digest.hexdigest()}\n{at}\n{nonce}"
        signature = hmac.new(self.secret.encode(), text.encode(), "sha256").hexdigest()
        return {
            "Content-Digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
            "Qibai-Key": self.key_id,
            "Qibai-Time": at,
            "Qibai-Nonce": nonce,
            "Qibai-Signature": signature,
        }

    def __repr__(self) -> str:
        return f"<Credentials {self.key_id}>"


@dataclass(frozen=True, slots=True)
class Asked(Generic[T]):
    """One logical call; every attempt sends the same."""

    method: str
    target: str  #: path and query
    answer: type[T]
    body: bytes = b""
    idempotency_key: str | None = None

    def headers(self, credentials: Credentials) -> dict[str, str]:
        """All headers of one attempt."""
        headers = credentials.headers(self.method, self.target, self.body)
        if self.body:
            headers["Content-Type"] = "application/json"
        if self.idempotency_key is not None:
            headers["Idempotency-Key"] = self.idempotency_key
        return headers

    def read(self, body: bytes) -> T:
        """The typed answer; fields of later releases are left out."""
        return msgspec.json.decode(body, type=self.answer)


def too_long(retry_after: str | None) -> bool:
    """Whether the platform asks for a longer pause than any we make: the caller shall know at once."""
    asked = _seconds(retry_after)
    return asked is not None and asked > _LONGEST_PAUSE_S


def pause(attempt: int, retry_after: str | None) -> float:
    """Seconds until the next attempt: what the platform asks for, else longer each time, and at random."""
    asked = _seconds(retry_after)
    if asked is not None:
        return min(asked, _LONGEST_PAUSE_S) + random.random() * 0.2  # noqa: S311
    return min(0.1 * 2.0**attempt, 5.0) * (0.5 + random.random())  # noqa: S311


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after is not None and retry_after.isdigit() else None


def _query(**values: Any) -> str:
    given = {
        name: value.isoformat()
        if isinstance(value, datetime)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
        for name, value in values.items()
        if value is not None
    }
    return "?" + urlencode(given) if given else ""


def bind(item: models.BindRequest, key: str | None) -> Asked[models.Binding]:
    return Asked("POST", "/v1/bindings", models.Binding, models.to_json(item), key or uuid.uuid4().hex)


def bind_bulk(items: Sequence[models.BindRequest], key: str | None) -> Asked[models.BulkBindAnswer]:
    body = models.to_json({"items": items})
    return Asked("POST", "/v1/bindings/bulk", models.BulkBindAnswer, body, key or uuid.uuid4().hex)


def release_bulk(ids: Sequence[str]) -> Asked[models.BulkReleaseAnswer]:
    body = models.to_json({"ids": ids})
    return Asked("POST", "/v1/bindings/bulk-release", models.BulkReleaseAnswer, body)


def binding(id: str) -> Asked[models.Binding]:
    return Asked("GET", f"/v1/bindings/{quote(id, safe='')}", models.Binding)


def bindings(**query: Any) -> Asked[models.BindingPage]:
    return Asked("GET", "/v1/bindings" + _query(**query), models.BindingPage)


def change(id: str, **values: Any) -> Asked[models.Binding]:
    body = models.to_json({name: value for name, value in values.items() if value is not None})
    return Asked("PATCH", f"/v1/bindings/{quote(id, safe='')}", models.Binding, body)


def members(id: str, method: str, numbers: Sequence[str]) -> Asked[models.Binding]:
    body = models.to_json({"members": numbers})
    return Asked(method, f"/v1/bindings/{quote(id, safe='')}/members", models.Binding, body)


def release(id: str) -> Asked[models.Released]:
    return Asked("DELETE", f"/v1/bindings/{quote(id, safe='')}", models.Released)


def translate(called: str, caller: str) -> Asked[models.Translation]:
    body = models.to_json({"called": called, "caller": caller})
    return Asked("POST", "/v1/translations", models.Translation, body)


def codes() -> Asked[models.CodeList]:
    return Asked("GET", "/v1/codes", models.CodeList)


def call(id: str) -> Asked[models.Call]:
    return Asked("GET", f"/v1/calls/{quote(id, safe='')}", models.Call)


def calls(**query: Any) -> Asked[models.CallPage]:
    return Asked("GET", "/v1/calls" + _query(**query), models.CallPage)


def terminate(id: str) -> Asked[models.Call]:
    return Asked("POST", f"/v1/calls/{quote(id, safe='')}/terminate", models.Call)


def send(item: models.SendRequest, key: str | None) -> Asked[models.Message]:
    return Asked("POST", "/v1/messages", models.Message, models.to_json(item), key or uuid.uuid4().hex)


def message(id: str) -> Asked[models.Message]:
    return Asked("GET", f"/v1/messages/{quote(id, safe='')}", models.Message)


def messages(**query: Any) -> Asked[models.MessagePage]:
    return Asked("GET", "/v1/messages" + _query(**query), models.MessagePage)


def plain(method: str, target: str, body: Any) -> Asked[Any]:
    return Asked(method, target, object, b"" if body is None else models.to_json(body))


def chunks(items: Sequence[T]) -> list[Sequence[T]]:
    """Bulks of a size that one request takes."""
    return [items[start : start + MAX_BULK] for start in range(0, len(items), MAX_BULK)]
