"""The API as commands see it: ``qibai.client`` with this home's address and key, errors as ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from qibai.cli import login
from qibai.cli.address import api_url as local_url
from qibai.cli.output import note
from qibai.client import ApiError, BindRequest, Client, NoAnswer, SendRequest
from qibai.client.requests import KeyMalformed
from qibai.config import Config
from qibai.core.errors import BadRequest, QibaiError, Unauthenticated, Unavailable
from qibai.core.ids import parse_id

_IDS: Final = {
    "b": ("binding", "`qibai show 700…`"),
    "c": ("call", "`qibai calls`"),
    "m": ("message", "`qibai messages`"),
}


class Refused(QibaiError):
    """The API refused; ``code`` is the API's own."""

    def __init__(self, code: str, message: str, field: str | None) -> None:
        super().__init__(message, field=field)
        self.code = code  # type: ignore[misc]


class Remote:
    """One method for each thing that commands do; answers are plain, as JSON would have them."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def bind(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return _plain(self._client.bind(msgspec.convert(wanted, BindRequest)))

    def binding(self, id: str) -> dict[str, Any]:
        return _plain(self._client.get(_id("b", id)))

    def bindings_of(self, number: str) -> list[dict[str, Any]]:
        return [_plain(one) for one in self._client.bindings(number=number)]

    def of_tenant(self, tenant: str, kind: str, **query: Any) -> list[dict[str, Any]]:
        """A tenant's latest bindings, calls or messages (``kind``), for others: numbers are masked."""
        target = f"/v1/{kind}?" + urlencode({"tenant": tenant, **query})
        page = self._client.request("GET", target)
        if page["unreadable"]:
            note(f"not listed, because no key can decrypt their numbers: {', '.join(page['unreadable'])}")
        items: list[dict[str, Any]] = page["items"]
        return items

    def release(self, id: str) -> dict[str, Any]:
        return _plain(self._client.release(_id("b", id)))

    def calls(self, limit: int, **query: Any) -> list[dict[str, Any]]:
        """The newest that fit."""
        try:
            return [_plain(one) for one in islice(self._client.calls(page=limit, **query), limit)]
        except ApiError as exc:
            raise _refused(exc) from None

    def calls_since(self, since: datetime, *, live: bool | None = None, **query: Any) -> list[dict[str, Any]]:
        """All that began then or later, newest first; ``live``: those that run now."""
        return [_plain(one) for one in self._client.calls(since=since, live=live, page=1000, **query)]

    def call(self, id: str) -> dict[str, Any]:
        return _plain(self._client.call(_id("c", id)))

    def send(self, wanted: dict[str, Any], key: str | None) -> dict[str, Any]:
        return _plain(self._client.send(msgspec.convert(wanted, SendRequest), idempotency_key=key))

    def message(self, id: str) -> dict[str, Any]:
        return _plain(self._client.message(_id("m", id)))

    def messages(self, limit: int, **query: Any) -> list[dict[str, Any]]:
        return [_plain(one) for one in islice(self._client.messages(page=limit, **query), limit)]

    def ask(self, method: str, target: str, body: dict[str, Any] | None = None) -> Any:
        return self._client.request(method, target, body)

    def terminate(self, id: str, tenant: str | None = None) -> dict[str, Any]:
        id = _id("c", id)
        if tenant is not None:
            query = urlencode({"tenant": tenant})
            ended: dict[str, Any] = self._client.request("POST", f"/v1/calls/{quote(id)}/terminate?{query}")
            return ended
        return _plain(self._client.terminate(id))


@contextmanager
def remote(config: Config, api_url: str | None, api_key: str | None) -> Iterator[Remote]:
    """The API with the given, else the saved key. Raise Unauthenticated when there is none or it is wrong,
    Unavailable when nobody answers, Refused with the API's code."""
    saved = login.load(config) if api_key is None else None
    key = api_key or (saved.api_key if saved else None)
    if key is None:
        raise Unauthenticated("no API key: give --api-key, set QIBAI_API_KEY, or run `qibai login`")
    url = api_url or (saved.api_url if saved else "") or local_url(config)
    try:
        client = Client(url, key, retries=2)
    except KeyMalformed:
        raise Unauthenticated("the API key does not have the shape qb_ID_SECRET") from None
    except ValueError as exc:
        raise BadRequest(f"--api-url: {exc}", field="api_url") from None
    try:
        with client:
            yield Remote(client)
    except NoAnswer as exc:
        if exc.certificate is not None:
            raise Unavailable(
                f"the API at {url}: its certificate is not accepted: {exc.certificate}"
            ) from None
        raise Unavailable(f"the API at {url} does not answer; is the platform up?") from None
    except ApiError as exc:
        raise _refused(exc) from None


def _id(kind: str, text: str) -> str:
    """An id of that kind. Raise BadRequest."""
    if parse_id(kind, text) is None:
        what, where = _IDS[kind]
        raise BadRequest(
            f"give the id of a {what}, as {kind}10000001-0abcdefghjkmn; {where} names it", field="id"
        )
    return text


def _refused(exc: ApiError) -> Refused:
    errors = exc.problem.errors
    field = errors[0].field if len(errors) == 1 else None
    said = exc.problem.detail or exc.problem.title
    if exc.code == "request_invalid" and errors:  # the detail is the same for all of them
        said = errors[0].message if field else "; ".join(f"{one.field}: {one.message}" for one in errors)
    if exc.problem.rule is not None:
        said += f" Rule {exc.problem.rule}, {exc.problem.document}"
    return Refused(exc.code, said, field)


def _plain(answer: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(answer)
    return plain
