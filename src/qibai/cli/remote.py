"""The API as commands see it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import niquests

from qibai.cli import access
from qibai.cli.platform import api_url as local_url
from qibai.config import Config
from qibai.core.errors import QibaiError, Unauthenticated, Unavailable

TIMEOUT_S = 10.0


class Refused(QibaiError):
    """The API refused; ``code`` is the API's own."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message, field=field)
        self.code = code  # type: ignore[misc]


class Remote:
    """One method for each thing that commands do; answers are the API's JSON."""

    def __init__(self, session: niquests.Session, url: str) -> None:
        self._session = session
        self._url = url

    def bind(self, body: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = self._ask(
            "POST", "/v1/bindings", json=body, headers={"Idempotency-Key": secrets.token_hex(16)}
        )
        return made

    def binding(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("GET", f"/v1/bindings/{id}")
        return found

    def bindings_of(self, number: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("GET", "/v1/bindings", params={"number": number})["items"]
        return found

    def release(self, id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("DELETE", f"/v1/bindings/{id}")
        return answer

    def calls(self, limit: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("GET", "/v1/calls", params={"limit": str(limit)})["items"]
        return found

    def terminate(self, id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("POST", f"/v1/calls/{id}/terminate")
        return answer

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = self._session.request(method, self._url + path, timeout=TIMEOUT_S, **more)
            body = answer.json()
        except (niquests.RequestException, ValueError):
            raise Unavailable(f"the API at {self._url} does not answer; is the platform up?") from None
        if not answer.ok:
            raise Refused(
                body.get("code", "error"), body.get("detail") or body.get("title", ""), body.get("field")
            )
        return body


@contextmanager
def remote(config: Config, api_url: str | None, api_key: str | None) -> Iterator[Remote]:
    """The API with the given, else the saved key. Raise Unauthenticated when there is none."""
    saved = access.load(config) if api_key is None else None
    key = api_key or (saved.api_key if saved else None)
    if key is None:
        raise Unauthenticated("no API key: give --api-key, set QIBAI_API_KEY, or run `qibai login`")
    url = api_url or (saved.api_url if saved else "") or local_url(config)
    with niquests.Session() as session:
        session.headers["Authorization"] = f"Bearer {key}"
        yield Remote(session, url.rstrip("/"))
