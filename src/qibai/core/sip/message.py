"""A SIP message, read from octets and within bounds (RFC 3261).

Only what is used must be readable: the start line, Via, From, To, Call-ID, CSeq, Max-Forwards and
Content-Length. Every other header stays text until somebody asks for it. A request that begins something is
refused for a line that is no header and for control characters; a response, an ACK, CANCEL or BYE is not,
since what it reports or ends has happened already.

Octets that are not UTF-8 stand in the text as lone surrogates (``decode``), so that none is lost.
"""

import re
from typing import Final

from qibai.core.errors import BadMessage
from qibai.core.sip.address import escape_octets, has_headers, read_address, split_list

MAX_BYTES: Final = 65_535
MAX_HEADERS: Final = 500
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
    }
)
#: These are used of a request that begins something, and two of them say two things.
_ONCE_AT_START: Final = frozenset({"session-expires", "min-se"})
#: Requests that are read whatever their unused headers look like.
_ENDING: Final = frozenset({"ACK", "BYE", "CANCEL"})
#: Of those requests these are not used.
_UNUSED_AT_END: Final = frozenset({"max-forwards", "content-length"})
#: These end a call or an attempt: whatever body they carry is not read, so that it cannot keep them from it.
_WITHOUT_BODY: Final = frozenset({"BYE", "CANCEL"})

_WORD: Final = r"[A-Za-z0-9\-.!%*_+`'~]"
_NAME = re.compile(rf"({_WORD}++)[ \t]*")
_FOLD = re.compile(r"[ \t]*\r\n[ \t]+")
_CONTROL = re.compile(r"(?<!\\)[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|[\r\n]")
_LINE_END = re.compile(r"\r?\n")
_BLANK_LINE = re.compile(r"\r?\n\r?\n")
_REQUEST = re.compile(
    rf"({_WORD}{{1,64}}) ([A-Za-z][A-Za-z0-9+.\-]*:[!#-;=?-~\x80-\U0010ffff]++)"
    r" [Ss][Ii][Pp]/([0-9]{1,3}\.[0-9]{1,3})"
)
_STATUS = re.compile(r"[Ss][Ii][Pp]/2\.0 ([1-6][0-9]{2})(?: .*)?", re.DOTALL)
_CSEQ = re.compile(rf"([0-9]{{1,10}})[ \t]+({_WORD}{{1,64}})")
_CALL_ID = re.compile(r"[A-Za-z0-9\-.!%*_+`'~()<>:\\\"/\[\]?{}@]{1,1024}")
_HOST: Final = r"(?:\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9.\-_~%]+)?\]|[A-Za-z0-9.\-_]+)"
#: A parameter's value. The RFC's tokens and hosts, and what is written besides: IPv6 addresses without
#: brackets (RFC 5118 §4.5), and base64 in a branch.
_VALUE: Final = r"[!#-+\-./0-:=?-~]"
_VIA = re.compile(
    rf"[Ss][Ii][Pp][ \t]*/[ \t]*2\.0[ \t]*/[ \t]*{_WORD}++[ \t]+{_HOST}(?:[ \t]*:[ \t]*[0-9]{{1,5}})?[ \t]*"
    rf"(?:;[ \t]*{_WORD}++(?:[ \t]*=[ \t]*(?:\"(?:[^\"\\\ud800-\udfff]|\\[ -~])*+\"|{_VALUE}*+))?[ \t]*)*+"
    r"(?:\([^()\ud800-\udfff]*\)[ \t]*)?",
    re.ASCII,
)
_BRANCH = re.compile(rf";[ \t]*branch[ \t]*=[ \t]*({_VALUE}++)", re.ASCII | re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]{1,10}", re.ASCII)
_SPACE: Final = " \t"


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
        """The media type in lower case without parameters; "" when there is no body. Raise BadMessage."""
        value = self.first("content-type")
        if value is None or not self.body:
            return ""
        if len(self.fields["content-type"]) > 1:
            raise BadMessage("a message with two Content-Types", status=400)
        kind, _, subtype = value.partition(";")[0].lower().partition("/")
        return f"{kind.strip(_SPACE)}/{subtype.strip(_SPACE)}"


def parse(text: str | bytes) -> Message:
    """Read one whole message. Raise BadMessage, whose message repeats nothing of the input."""
    if isinstance(text, bytes):
        text = decode(text)
    whole = text
    if len(text) > MAX_BYTES:
        raise BadMessage("larger than 65,535 bytes", status=513)
    if text[:1] in ("\r", "\n"):
        text = text.lstrip("\r\n")
    lines, body = _divide(text)
    if len(lines) > MAX_HEADERS:
        raise BadMessage("more than 500 headers", status=513)

    message = Message()
    message.text = whole
    _read_start_line(message, lines[0])
    ending = message.is_request and message.method in _ENDING
    strict = message.is_request and not ending
    if strict:
        _refuse_controls(text, lines)
    message.fields = fields = _read_headers(lines, strict=strict, ending=ending)
    message.body = body
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
        if not ending:
            raise BadMessage("Max-Forwards is malformed")
        del fields["max-forwards"]
    length = fields.get("content-length")
    if message.method in _WITHOUT_BODY and message.is_request:
        message.body = ""
    elif length is not None:
        try:
            _cut_body(message, length[0])
        except BadMessage:
            if not ending:
                raise
            message.body = ""  # an ACK: without it the other side would repeat its answer, and then give up
    return message


def decode(octets: bytes) -> str:
    """Octets as the text that ``parse`` reads; ``encode`` gives the same octets back."""
    return octets.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """What ``decode`` read."""
    return text.encode("utf-8", "surrogateescape")


def is_via(value: str) -> bool:
    """Returns True if a Via's value can be read."""
    try:
        items = split_list(value)
    except BadMessage:
        return False
    return bool(items) and all(_VIA.fullmatch(item) for item in items)


def _divide(text: str) -> tuple[list[str], str]:
    """The lines above the empty line, unfolded, and the body. A lone line feed ends a line as well."""
    head, blank, body = text.partition("\r\n\r\n")
    if not blank or head.count("\n") != head.count("\r\n"):
        parts = _BLANK_LINE.split(text, maxsplit=1)
        if len(parts) < 2:
            raise BadMessage("no empty line after the headers")
        head, body = "\r\n".join(_LINE_END.split(parts[0])), parts[1]
    if "\r\n " in head or "\r\n\t" in head:
        head = _FOLD.sub(" ", head)
    return head.split("\r\n"), body


def _refuse_controls(text: str, lines: list[str]) -> None:
    head = text[: len(text) if "\r\n\r\n" not in text else text.index("\r\n\r\n")]
    if head.count("\n") != head.count("\r\n"):
        raise BadMessage("a line ends without a carriage return")
    joined = "".join(lines)
    if not joined.isprintable() and _CONTROL.search(joined):
        raise BadMessage("a control character in a header")


def _read_headers(lines: list[str], *, strict: bool, ending: bool) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    usual = _NAMES.get
    for line in lines[1:]:
        raw, colon, value = line.partition(":")
        name = usual(raw)
        if name is None:
            found = _NAME.fullmatch(raw)
            if found is None or not colon:
                if strict:
                    raise BadMessage("a header line is malformed")
                continue
            name = found[1].lower()
            name = _COMPACT.get(name, name)
        elif not colon:
            if strict:
                raise BadMessage("a header line is malformed")
            continue
        value = value.strip(" \t")
        values = fields.get(name)
        if values is None:
            fields[name] = [value]
        elif name in _SINGLE or (strict and name in _ONCE_AT_START):
            if ending and name in _UNUSED_AT_END:
                continue
            raise BadMessage("a header that may stand once stands twice")
        else:
            values.append(value)
    return fields


def _read_start_line(message: Message, line: str) -> None:
    found = _REQUEST.fullmatch(line)
    if found is not None:
        if found[3] != "2.0":
            raise BadMessage("another version of SIP", status=505)
        message.method, message.uri = found[1], escape_octets(found[2])
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
    if not values or not all(_VIA.fullmatch(value) for value in values):
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
    raw = encode(body)
    if wanted > len(raw):
        raise BadMessage("the body is shorter than Content-Length")
    message.body = decode(raw[:wanted])
