"""Messages outside calls (MESSAGE, RFC 3428): the content is read, a new message is written around it."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from qibai.core.errors import BadMessage
from qibai.core.sip.cpim import CPIM, IMDN, Notice, read_cpim, read_notification
from qibai.core.sip.message import Message
from qibai.core.sip.write import Endpoint

MAX_TEXT: Final = 10_000  #: characters
ACCEPT: Final = "Accept: text/plain, message/cpim\r\n"
PLAIN: Final = "text/plain;charset=UTF-8"

_CHARSET: Final = re.compile(r";[ \t]*charset[ \t]*=[ \t]*\"?([A-Za-z0-9_.:\-]{1,40})\"?", re.IGNORECASE)
_CHARSETS: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "iso-8859-1": "latin-1",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "utf-16": "utf-16",
    "utf-16be": "utf-16-be",
    "utf-16le": "utf-16-le",
}
_SECONDS: Final = re.compile(r"[0-9]{1,9}")


class PageRefused(Exception):
    """The message is well formed, but not one that we take: ``status`` says why."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


@dataclass(frozen=True, slots=True, repr=False)
class Page:
    """What a MESSAGE says."""

    text: str
    message_id: str = ""  #: by which its sender wants to hear of it
    wants_delivery: bool = False
    wants_failures: bool = False


def read_page(request: Message) -> Page | Notice | None:
    """The text in a MESSAGE, plain or in CPIM, or what it tells of another; None: nothing that matters.

    Raise BadMessage, or PageRefused for a type, charset or length that we do not take.
    """
    encoding = request.first("content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise PageRefused(415)
    kind = request.content_type
    body = request.body.encode("utf-8", "surrogateescape")
    if kind == "text/plain":
        return Page(_text(body, request.fields["content-type"][0]))
    if kind != CPIM:
        if not kind:
            raise BadMessage("a message without text")
        raise PageRefused(415)
    wrapped = read_cpim(body)
    content = wrapped.content
    transfer = wrapped.fields.get("content-transfer-encoding", "8bit").lower()
    if transfer == "base64":
        try:
            content = base64.b64decode(content, validate=False)
        except binascii.Error:
            raise BadMessage("the message's text is malformed") from None
    elif transfer not in ("7bit", "8bit", "binary"):
        raise PageRefused(415)
    inner = wrapped.fields.get("content-type", "text/plain")
    media = inner.partition(";")[0].strip().lower()
    if media == IMDN:
        return read_notification(content)
    if media != "text/plain":
        raise PageRefused(415)
    asked = bool(wrapped.message_id)
    return Page(
        _text(content, inner),
        wrapped.message_id,
        asked and wrapped.wants_delivery,
        asked and wrapped.wants_failures,
    )


def _text(body: bytes, content_type: str) -> str:
    found = _CHARSET.search(content_type)
    charset = _CHARSETS.get(found[1].lower()) if found else "utf-8"
    if charset is None:
        raise PageRefused(415)
    try:
        text = body.decode(charset).replace("\0", "")  # which is no character of a text, and ends one in C
    except UnicodeDecodeError:
        raise BadMessage("the text is not in its charset") from None
    if not text:
        raise BadMessage("a message without text")
    if len(text) > MAX_TEXT:
        raise PageRefused(513)
    return text


def expires_in(request: Message) -> int | None:
    """For how many seconds the sender wants a MESSAGE to be tried; None: as long as we see fit."""
    value = request.first("expires")
    return int(value) if value is not None and _SECONDS.fullmatch(value) else None


def write_page(
    *,
    target: str,
    here: Endpoint,
    branch: str,
    source: str,
    tag: str,
    destination: str,
    call_id: str,
    cseq: int = 1,
    content_type: str,
    body: str,
    expires: int | None = None,
    asserted: bool = True,
    header: str = "",
) -> str:
    """A MESSAGE from the URI ``source`` to ``destination``, sent to ``target``.

    ``branch``, ``tag`` and ``call_id`` are our own words, ``content_type`` and ``body`` written by us.
    ``expires``: seconds from now. ``header``: one line more, between ourselves.
    """
    lines = [
        f"MESSAGE {target} SIP/2.0",
        here.via(branch),
        "Max-Forwards: 69",
        f"From: <{source}>;tag={tag}",
        f"To: <{destination}>",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} MESSAGE",
    ]
    if asserted:
        lines.append(f"P-Asserted-Identity: <{source}>")
    if expires is not None:
        lines.append(f"Expires: {expires}")
    if header:
        lines.append(header)
    if body:
        lines.append(f"Content-Type: {content_type}")
    lines.append(f"Content-Length: {len(body.encode())}\r\n\r\n{body}")
    return "\r\n".join(lines)
