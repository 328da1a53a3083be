"""A SIP message, read strictly and within bounds (RFC 3261); header values stay text until somebody asks."""

import re
from typing import Final

from qibai.core.errors import BadMessage
from qibai.core.sip.address import has_headers, read_address, split_list

MAX_BYTES: Final = 65_535
MAX_HEADERS: Final = 200
MAX_CSEQ: Final = 2**31

_COMPACT: Final = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
#: Spellings seen nearly always, so that most names cost one look-up.
_USUAL: Final = (
    "Via From To Call-ID CSeq Max-Forwards Contact Content-Type Content-Length Allow Supported Require Route "
    "Record-Route User-Agent Server P-Asserted-Identity Session-Expires Min-SE RAck RSeq Reason Expires "
    "Content-Disposition Subject Accept Date Privacy Call-Id Allow-Events Retry-After P-Early-Media"
)
_NAMES: Final = {name: name.lower() for name in _USUAL.split()} | {
    key: name for short, name in _COMPACT.items() for key in (short, short.upper())
}

#: Headers that may stand only once: two of them let two elements read two different messages.
_SINGLE: Final = frozenset(
    {
        "from",
        "to",
        "call-id",
        "cseq",
        "max-forwards",
        "content-length",
        "content-type",
        "session-expires",
        "min-se",
        "rack",
        "rseq",
        "expires",
    }
)

_WORD: Final = r"[A-Za-z0-9\-.!%*_+`'~]"
_NAME = re.compile(rf"({_WORD}++)[ \t]*")
_FOLD = re.compile(r"[ \t]*\r\n[ \t]+")
_CONTROL = re.compile(r"(?<!\\)[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|[\r\n]")
_REQUEST = re.compile(rf"({_WORD}{{1,64}}) ([A-Za-z][A-Za-z0-9+.\-]*:[!#-;=?-~]++) [Ss][Ii][Pp]/2\.0")
_STATUS = re.compile(r"[Ss][Ii][Pp]/2\.0 ([1-6][0-9]{2})(?: .*)?")
_CSEQ = re.compile(rf"([0-9]{{1,10}})[ \t]+({_WORD}{{1,64}})")
_CALL_ID = re.compile(r"[A-Za-z0-9\-.!%*_+`'~()<>:\\\"/\[\]?{}@]{1,256}")
_HOST: Final = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-_]+)"
_VIA = re.compile(
    rf"[Ss][Ii][Pp][ \t]*/[ \t]*2\.0[ \t]*/[ \t]*{_WORD}++[ \t]+{_HOST}(?:[ \t]*:[ \t]*[0-9]{{1,5}})?[ \t]*"
    rf"(?:;[ \t]*{_WORD}++(?:[ \t]*=[ \t]*(?:{_WORD}++|\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f:.]++"
    r"|\"(?:[^\"\\]|\\.)*+\"))?[ \t]*)*+(?:\([^()]*\)[ \t]*)?"
)
_BRANCH = re.compile(rf";[ \t]*branch[ \t]*=[ \t]*({_WORD}++)", re.ASCII | re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]{1,10}")


class Message:
    """A request (``method``, ``uri``) or a response (``status``, and the ``method`` it answers)."""

    __slots__ = (
        "body", "call_id", "cseq", "fields", "from_tag", "from_uri", "method", "status", "text", "to_tag",
        "to_uri", "uri", "vias",
    )  # fmt: skip

    method: str
    uri: str  #: of a request; "" in a response
    status: int  #: of a response; 0 in a request
    fields: dict[str, list[str]]  #: values by lower-case full name; several of one name in their order
    body: str
    call_id: str
    cseq: int
    from_uri: str
    from_tag: str  #: "" when there is none
    to_uri: str
    to_tag: str  #: "" when there is none
    vias: list[str]  #: one entry a hop, the last sender's first
    text: str  #: the whole message as it came

    @property
    def is_request(self) -> bool:
        return self.status == 0

    def first(self, name: str) -> str | None:
        """The first value of the header ``name`` (lower case), or None."""
        values = self.fields.get(name)
        return values[0] if values else None

    def items(self, name: str) -> list[str]:
        """The values of a header whose values are a comma list, one entry each."""
        values = self.fields.get(name)
        if not values:
            return []
        if len(values) == 1 and "," not in values[0]:
            return values
        return [item for value in values for item in split_list(value)]

    @property
    def max_forwards(self) -> int:
        """How many hops are left; 70 when the sender does not say."""
        value = self.first("max-forwards")
        return 70 if value is None else int(value)

    @property
    def branch(self) -> str:
        """The branch of the topmost Via, "" when there is none (RFC 2543)."""
        found = _BRANCH.search(self.vias[0])
        return found[1] if found else ""

    @property
    def contact(self) -> str | None:
        """The URI of the one Contact, or None. Raise BadMessage when it is not one address."""
        items = self.items("contact")
        if not items or items[0] == "*":
            return None
        if len(items) > 1:
            raise BadMessage("more than one Contact")
        return read_address(items[0])[0]

    @property
    def content_type(self) -> str:
        """The media type in lower case without parameters; "" when there is no body."""
        value = self.first("content-type")
        if value is None or not self.body:
            return ""
        return value.partition(";")[0].strip().lower()


def parse(text: str | bytes) -> Message:
    """Read one whole message. Raise BadMessage, whose message repeats nothing of the input."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    whole = text
    if len(text) > MAX_BYTES:
        raise BadMessage("larger than 65,535 bytes")
    if text[:1] in ("\r", "\n"):
        text = text.lstrip("\r\n")
    head, blank, body = text.partition("\r\n\r\n")
    if not blank:
        raise BadMessage("no empty line after the headers")
    if "\r\n " in head or "\r\n\t" in head:
        head = _FOLD.sub(" ", head)
    lines = head.split("\r\n")
    if len(lines) > MAX_HEADERS:
        raise BadMessage("more than 200 headers")
    joined = "".join(lines)
    if not joined.isprintable() and _CONTROL.search(joined):
        raise BadMessage("a control character in a header")

    message = Message()
    message.text = whole
    message.fields = fields = _read_headers(lines)
    message.body = body
    _read_start_line(message, lines[0])
    try:
        cseq, via = fields["cseq"][0], fields["via"]
        message.call_id = fields["call-id"][0]
        message.from_uri, message.from_tag = read_address(fields["from"][0])
        message.to_uri, message.to_tag = read_address(fields["to"][0])
    except KeyError:
        raise BadMessage("one of Via, From, To, Call-ID, CSeq is missing") from None
    if not _CALL_ID.fullmatch(message.call_id):
        raise BadMessage("the Call-ID is malformed")
    _read_cseq(message, cseq)
    _read_vias(message, via)
    hops = fields.get("max-forwards")
    if hops and not (_DIGITS.fullmatch(hops[0]) and int(hops[0]) <= 255):
        raise BadMessage("Max-Forwards is malformed")
    length = fields.get("content-length")
    if length is not None:
        _cut_body(message, length[0])
    return message


def _read_headers(lines: list[str]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    usual = _NAMES.get
    for line in lines[1:]:
        raw, colon, value = line.partition(":")
        name = usual(raw)
        if name is None:
            found = _NAME.fullmatch(raw)
            if found is None or not colon:
                raise BadMessage("a header line is malformed")
            name = found[1].lower()
            name = _COMPACT.get(name, name)
        elif not colon:
            raise BadMessage("a header line is malformed")
        value = value.strip(" \t")
        values = fields.get(name)
        if values is None:
            fields[name] = [value]
        elif name in _SINGLE:
            raise BadMessage("a header that may stand once stands twice")
        else:
            values.append(value)
    return fields


def _read_start_line(message: Message, line: str) -> None:
    found = _REQUEST.fullmatch(line)
    if found is not None:
        message.method, message.uri = found[1], found[2]
        message.status = 0
        if "?" in message.uri and has_headers(message.uri):
            raise BadMessage("the request URI carries headers")
        return
    found = _STATUS.fullmatch(line)
    if found is None:
        raise BadMessage("the start line is malformed")
    message.status, message.uri = int(found[1]), ""


def _read_cseq(message: Message, value: str) -> None:
    found = _CSEQ.fullmatch(value)
    if found is None:
        raise BadMessage("CSeq is malformed")
    message.cseq = int(found[1])
    if message.cseq >= MAX_CSEQ:
        raise BadMessage("CSeq is too large")
    if message.status:
        message.method = found[2]
    elif found[2] != message.method:
        raise BadMessage("CSeq names another method")


def _read_vias(message: Message, values: list[str]) -> None:
    if len(values) > 1 or "," in values[0]:
        values = [item for value in values for item in split_list(value)]
    for value in values:
        if not _VIA.fullmatch(value):
            raise BadMessage("a Via is malformed")
    message.vias = values


def _cut_body(message: Message, length: str) -> None:
    if not _DIGITS.fullmatch(length):
        raise BadMessage("Content-Length is malformed")
    wanted, body = int(length), message.body
    if body.isascii():
        if wanted == len(body):
            return
        if wanted > len(body):
            raise BadMessage("the body is shorter than Content-Length")
        message.body = body[:wanted]
        return
    raw = body.encode("utf-8", "surrogateescape")
    if wanted > len(raw):
        raise BadMessage("the body is shorter than Content-Length")
    message.body = raw[:wanted].decode("utf-8", "surrogateescape")
