"""What a tenant wants done with the text of messages between its customers."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import unquote_plus, urlsplit

from qibai.core.errors import BadRequest
from qibai.core.text import find_numbers, mask
from qibai.core.typed import without_number

MAX_TIMEOUT_MS: Final = 10_000
MAX_URL: Final = 2_000


class NumbersInText(StrEnum):
    """What becomes of a text in which somebody has written a real number."""

    MASK = "mask"  #: the number's middle is starred, the rest goes on
    BLOCK = "block"  #: nothing goes on
    THROUGH = "pass"  #: it goes on as it is; the record says that there was one


class Hook(StrEnum):
    """Who decides about a text that may go on so far."""

    FORWARD = "forward"  #: nobody: it goes on
    BLOCK = "block"  #: nothing goes on: the tenant's customers may call but not write
    ASK = "ask"  #: the tenant's own service, by its URL


class OnTimeout(StrEnum):
    """What becomes of a text about which the tenant's service says nothing in time."""

    CONTINUE = "continue"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Passed:
    """A text that may go on, as it may go on. ``repr`` shows no text."""

    text: str
    has_number: bool  #: a real number was written in it

    def __repr__(self) -> str:
        return f"<Passed has_number={self.has_number}>"


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """One tenant's policy. ``url`` and what follows it matter when the hook is ``ask``."""

    numbers: NumbersInText = NumbersInText.MASK
    hook: Hook = Hook.FORWARD
    url: str | None = None
    timeout_ms: int = 2_000
    on_timeout: OnTimeout = OnTimeout.BLOCK

    @property
    def reads_text(self) -> bool:
        """Whether the whole of a long message has to be there before any of it goes on."""
        return self.numbers is not NumbersInText.THROUGH or self.hook is Hook.ASK

    def passed(self, text: str) -> Passed | None:
        """What may go on of ``text``, unless a hook that is asked says no; None: nothing may."""
        if self.hook is Hook.BLOCK:
            return None
        if not find_numbers(text):
            return Passed(text, has_number=False)
        if self.numbers is NumbersInText.BLOCK:
            return None
        return Passed(mask(text) if self.numbers is NumbersInText.MASK else text, has_number=True)

    def check(self, *, plain_http: bool = False) -> None:
        """Raise BadRequest, or NumberNotAllowed for the URL, unless it can be followed.

        ``plain_http``: allow URLs without TLS.
        """
        if not 100 <= self.timeout_ms <= MAX_TIMEOUT_MS:
            raise BadRequest(f"the hook's time-out is 100 to {MAX_TIMEOUT_MS} ms", field="timeout_ms")
        if self.url is None:
            if self.hook is Hook.ASK:
                raise BadRequest("the hook `ask` needs the URL to ask", field="url")
            return
        try:
            url = urlsplit(self.url)
            host, _ = url.hostname, url.port
        except ValueError:
            raise BadRequest("this is not a URL", field="url") from None
        if len(self.url) > MAX_URL or not self.url.isascii() or not self.url.isprintable() or not host:
            raise BadRequest("this is not a URL", field="url")
        if url.scheme not in ({"https", "http"} if plain_http else {"https"}):
            raise BadRequest("the URL has to begin with https://", field="url")
        if url.username is not None or url.password is not None or url.fragment:
            raise BadRequest("the URL must not hold a user, a password or a fragment", field="url")
        without_number(_plain(self.url), "url")


def _plain(url: str) -> str:
    """A URL without its encoding, however often it was encoded."""
    while (plain := unquote_plus(url)) != url:
        url = plain
    return url


#: Of a tenant that has set none.
DEFAULT_POLICY: Final = ContentPolicy()
