"""HTTP for the client for asyncio, on niquests."""

from typing import Final

import niquests

from qibai.client.errors import NoAnswer
from qibai.client.transport import Answer, split_address

_NO_ANSWER: Final = (
    niquests.exceptions.ConnectionError,
    niquests.exceptions.Timeout,
    niquests.exceptions.ChunkedEncodingError,  # cut off in the middle
)


class AsyncTransport:
    """Requests to one address. Proxies are those of the environment, as in ``transport``."""

    def __init__(self, url: str, *, timeout_s: float, verify: bool | str) -> None:
        """Raise ValueError when ``url`` is no address."""
        split_address(url)
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._verify = verify  # given with each request, because the environment overrides a session's
        self._session = niquests.AsyncSession()

    async def request(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Raise NoAnswer when no whole answer came in time."""
        try:
            response = await self._session.request(
                method,
                self._url + target,
                data=body or None,
                headers=headers,
                timeout=self._timeout_s,
                allow_redirects=False,
                verify=self._verify,
            )
        except _NO_ANSWER as exc:
            raise NoAnswer(method, target, _certificate_fault(exc)) from exc
        retry_after = response.headers.get("Retry-After")
        return Answer(
            response.status_code or 0,
            response.content or b"",
            retry_after if isinstance(retry_after, str) else None,
        )

    async def close(self) -> None:
        """Close connections."""
        await self._session.close()


def _certificate_fault(exc: BaseException) -> str | None:
    """What OpenSSL says of the server's certificate, if that is what ``exc`` comes from."""
    cause: BaseException | None = exc
    while cause is not None:
        fault: str | None = getattr(cause, "verify_message", None)
        if fault is not None:
            return fault
        cause = cause.__cause__ or cause.__context__
    return None
