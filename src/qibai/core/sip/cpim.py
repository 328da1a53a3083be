"""CPIM wrappers (RFC 3862) and delivery notifications in them (RFC 5438): read, and written as new ones.

Addresses, names, subjects and times in a wrapper are its sender's: they are never passed on.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from xml.etree import ElementTree

from qibai.core.errors import BadMessage
from qibai.core.messages import MessageState

CPIM: Final = "message/cpim"
IMDN: Final = "message/imdn+xml"
MAX_ID: Final = 47  #: characters of a Message-ID that is answered

_IMDN_SPACE: Final = "urn:ietf:params:imdn"
_XML_SPACE: Final = "urn:ietf:params:xml:ns:imdn"
_BLANK: Final = re.compile(rb"\r?\n\r?\n")
_LINE: Final = re.compile(r"([!-9;-~]{1,100}):[ \t]*(.*)", re.DOTALL)
_SPACE: Final = re.compile(r"(?:([A-Za-z0-9_\-]{1,40})[ \t]+)?<([^<>\s]{1,200})>")
_ID: Final = re.compile(rf"[A-Za-z0-9\-.!%*_+`'~@=/:]{{1,{MAX_ID}}}")
_MAX_LINES: Final = 100
_STATES: Final = {
    "delivered": MessageState.DELIVERED,
    "failed": MessageState.REJECTED,
    "forbidden": MessageState.REJECTED,
    "error": MessageState.UNKNOWN,
}
_STATUS: Final = {
    MessageState.DELIVERED: "delivered",
    MessageState.EXPIRED: "failed",
    MessageState.REJECTED: "failed",
    MessageState.UNKNOWN: "error",
}


@dataclass(frozen=True, slots=True, repr=False)
class Wrapped:
    """What counts of a CPIM message."""

    fields: dict[str, str]  #: the content's MIME headers, names in lower case
    content: bytes
    message_id: str  #: "" when it has none that we could name again
    wants_delivery: bool
    wants_failures: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """What became of a message, as its receiver's side says."""

    message_id: str
    state: MessageState


def read_cpim(body: bytes) -> Wrapped:
    """Raise BadMessage when it is no CPIM message."""
    head, *entity = _BLANK.split(body, maxsplit=1)
    if not entity:
        raise BadMessage("the CPIM wrapper is malformed")
    # content without headers of its own begins with their empty line
    mime, *content = _BLANK.split(b"\r\n" + entity[0], maxsplit=1)
    if not content:
        raise BadMessage("the CPIM wrapper is malformed")
    wrapper = _fields(head)
    prefix = "imdn"
    for name, value in wrapper:
        space = _SPACE.fullmatch(value) if name == "NS" else None
        if space is not None and space[2] == _IMDN_SPACE:
            prefix = space[1] or ""
    named = dict(wrapper)
    dotted = f"{prefix}." if prefix else ""
    message_id = named.get(f"{dotted}Message-ID", "")
    wanted = named.get(f"{dotted}Disposition-Notification", "").lower().replace(" ", "").split(",")
    return Wrapped(
        {name.lower(): value for name, value in _fields(mime)},
        content[0],
        message_id if _ID.fullmatch(message_id) else "",
        "positive-delivery" in wanted,
        "negative-delivery" in wanted,
    )


def _fields(block: bytes) -> list[tuple[str, str]]:
    try:
        lines = block.decode().replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError:
        raise BadMessage("a CPIM header is not in UTF-8") from None
    if len(lines) > _MAX_LINES:
        raise BadMessage("more than 100 CPIM headers")
    fields = []
    for line in lines:
        if not line:
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise BadMessage("a CPIM header is malformed")
        fields.append((found[1], found[2].strip(" \t")))
    return fields


def write_cpim(
    content: str, *, source: str, destination: str, message_id: str, at: datetime, notification: bool = False
) -> str:
    """A text, or the XML of a notification, from a 700 number to a real one in E.164.

    With a text goes the wish to hear what became of it.
    """
    kind, more = f"{IMDN}\r\nContent-Disposition: notification", ""
    if not notification:
        kind = "text/plain;charset=UTF-8"
        more = "imdn.Disposition-Notification: positive-delivery, negative-delivery\r\n"
    return (
        f"From: <tel:{source};phone-context=+86>\r\nTo: <tel:{destination}>\r\nDateTime: {_time(at)}\r\n"
        f"NS: imdn <{_IMDN_SPACE}>\r\nimdn.Message-ID: {message_id}\r\n{more}"
        f"\r\nContent-Type: {kind}\r\nContent-Length: {len(content.encode())}\r\n\r\n{content}"
    )


def read_notification(content: bytes) -> Notice | None:
    """None when it tells of something else than delivery. Raise BadMessage."""
    try:
        text = content.decode()
        if "<!" in text:  # neither a document type, so no entities, nor anything else that is not needed
            raise BadMessage("the notification is malformed")
        root = ElementTree.fromstring(text)  # noqa: S314  # without a document type nothing can be expanded
    except (UnicodeDecodeError, ElementTree.ParseError, ValueError):
        raise BadMessage("the notification is malformed") from None
    space = {"i": _XML_SPACE}
    message_id = (root.findtext("i:message-id", "", space)).strip()
    status = root.find("i:delivery-notification/i:status", space)
    if status is None:
        return None
    words = [child.tag.rpartition("}")[2] for child in status]
    state = next((_STATES[word] for word in words if word in _STATES), None)
    if state is None or not _ID.fullmatch(message_id):
        raise BadMessage("the notification is malformed")
    return Notice(message_id, state)


def write_notification(notice: Notice, submitted_at: datetime) -> str:
    """The XML for the sender of a message: ``notice`` names it as the sender did."""
    message_id = notice.message_id.replace("&", "&amp;").replace("<", "&lt;")
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\r\n<imdn xmlns="{_XML_SPACE}">\r\n'
        f"<message-id>{message_id}</message-id>\r\n<datetime>{_time(submitted_at)}</datetime>\r\n"
        f"<delivery-notification><status><{_STATUS[notice.state]}/></status></delivery-notification>\r\n"
        "</imdn>\r\n"
    )


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
