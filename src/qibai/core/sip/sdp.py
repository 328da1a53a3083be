"""Session descriptions: a new one is written, with only what a call needs (RFC 8866, RFC 3264).

Names, addresses and free text go; ``m=`` lines keep their places, since an answer matches its offer by them.
"""

import hashlib
import re
from base64 import b64decode
from binascii import a2b_qp
from typing import Final, NewType

from qibai.core.errors import BadMessage
from qibai.core.sip.message import Message
from qibai.core.sip.sdp_lines import attribute, bandwidth, codec_is_known

#: A description that ``clean_sdp`` has written: the only kind that the writers take.
CleanSdp = NewType("CleanSdp", str)

MAX_LINES: Final = 400
_MAX_PARTS: Final = 3  # multipart bodies within one another
MAX_MEDIA: Final = 16

_MEDIA = re.compile(
    r"(audio|video|text|image) ([0-9]{1,5})(?:/[0-9]{1,2})? ([A-Za-z0-9/]{3,24}) ([A-Za-z0-9 \-]+)"
)
_REFUSED_MEDIA = re.compile(r"([A-Za-z0-9\-]{1,20}) [0-9]{1,5}(?:/[0-9]{1,5})? \S+(?: .*)?")
RTP_PROFILES: Final = frozenset(
    {"RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"}
)
_DTLS: Final = frozenset({"UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"})
_DISCARD: Final = 9  # nobody listens there (RFC 863)
_FIRST_TO_MANY: Final = 224  #: from here on an IPv4 address is of a group, or of all
_ORIGIN = re.compile(r"(?:.* )?([0-9]{1,64}) ([0-9]{1,64}) IN IP[46] \S+", re.IGNORECASE)
_CONNECTION = re.compile(
    r"IN (IP4 [0-9.]{7,15}|IP6 [0-9A-F:.]{2,45})(?:/[0-9]{1,3}){0,2}", re.ASCII | re.IGNORECASE
)
_PART_HEADER = re.compile(
    r"(?:^|\r?\n)content-(type|transfer-encoding)[ \t]*:[ \t]*([^\r\n]*)", re.ASCII | re.IGNORECASE
)
_PART_BLANK = re.compile(r"\r?\n\r?\n")
_BOUNDARY = re.compile(
    r";[ \t]*boundary[ \t]*=[ \t]*(?:\"([^\"\r\n]{1,70})\"|([^\s\";,]{1,70}))", re.ASCII | re.IGNORECASE
)


def sdp_of(message: Message) -> str | None:
    """The session description in a message's body, alone or one part of several; None when there is none.

    Other parts are not read and never passed on; ISUP (RFC 3204), which names numbers, is one. Raise
    BadMessage when the body is encoded, so that nobody can tell.
    """
    kind = message.content_type
    if not kind:
        return None
    encoding = message.first("content-encoding")
    if encoding and encoding.lower() != "identity":
        raise BadMessage("the body is encoded", status=415)
    if kind == "application/sdp":
        return message.body
    if not kind.startswith("multipart/"):
        return None
    return _part(message.body, message.fields["content-type"][0], _MAX_PARTS)


def _part(body: str, content_type: str, depth: int) -> str | None:
    """The description among the parts of a multipart body (RFC 2046 §5.1)."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise BadMessage("a multipart body without boundary")
    delimiter = re.compile(rf"(?:^|\r?\n)--{re.escape(found[1] or found[2])}(?:--[^\r\n]*|[ \t]*(?=\r?\n|$))")
    for part in delimiter.split(body)[1:]:
        pieces = _PART_BLANK.split(part, maxsplit=1)
        if len(pieces) < 2:
            continue
        head = re.sub(r"\r?\n[ \t]+", " ", pieces[0])
        fields = {name.lower(): value for name, value in _PART_HEADER.findall(head)}
        value = fields.get("type", "")
        kind = re.sub(r"[ \t]", "", value.partition(";")[0]).lower()
        if kind == "application/sdp":
            return _transferred(pieces[1], fields.get("transfer-encoding", "").strip(" \t").lower())
        if kind.startswith("multipart/") and depth > 1:
            inner = _part(pieces[1], value, depth - 1)
            if inner is not None:
                return inner
    return None


def _transferred(text: str, encoding: str) -> str:
    """A part without its Content-Transfer-Encoding; 7bit, 8bit and binary change nothing."""
    if encoding not in ("base64", "quoted-printable"):
        return text
    octets = text.encode("utf-8", "surrogateescape")
    try:
        read = b64decode(octets) if encoding == "base64" else a2b_qp(octets)
    except ValueError:
        raise BadMessage("a part of the body is malformed") from None
    return read.decode("utf-8", "surrogateescape")


def clean_sdp(
    text: str,
    host: str,
    *,
    salt: str,
    pass_media_address: bool = False,
    without_rtcp: bool = False,
    rtp_only: bool = False,
) -> CleanSdp:
    """Write a new session description from this one. Raise BadMessage if it is none.

    ``host`` is our media address: it stands in ``o=`` and, unless ``pass_media_address``, in ``c=`` too (but
    for 0.0.0.0, the old way to hold). ``salt`` is something that only the sender's side knows, such as its
    Call-ID: it hides the numbers in ``o=``, which keep growing by as much as they did. ``without_rtcp``:
    whoever reads this sends RTCP to the discard port of ``host`` and nowhere else. ``rtp_only``: media that
    takes other packets than RTP, which are T.38 and DTLS, is refused.

    A ``c=`` may name a host (RFC 8866 §5.7). A name is not looked up, since that would hold up other calls:
    BadMessage with status 488, unless no media that is open uses it.
    """
    lines = [line.rstrip(" \t") for line in text.lstrip("\r\n").replace("\r\n", "\n").split("\n")]
    if len(lines) > MAX_LINES:
        raise BadMessage("the session description has more than 400 lines", status=513)
    if lines[0] != "v=0":
        raise BadMessage("the session description is malformed")
    if "v=0" in lines[1:]:  # another description begins (RFC 8866 §5); the first is the one that is meant
        lines = lines[: lines.index("v=0", 1)]
    lines = _with_addresses(lines, host)
    ours = f"IN {'IP6' if ':' in host else 'IP4'} {host}"
    origin = ""
    timed = False
    media = 0
    placed = False  # an address stands above all media
    known: frozenset[str] | None = None  # payload types of the media at hand; None above all media
    refused = False  # the media at hand is refused, so nothing is said of it
    ending: list[str] = []  # what is still to be said of the media at hand
    discard = [f"a=rtcp:{_DISCARD} {ours}"] if without_rtcp else []
    out = ["v=0", "", "s=-"]
    for index, line in enumerate(lines):
        kind = line[:2]
        if kind == "a=":
            written = None if refused else attribute(line, known)
            if written is not None and not (without_rtcp and written.startswith("a=rtcp")):
                out.append(written)
        elif kind == "m=":
            if not timed:
                out.append("t=0 0")
                timed = True
            media += 1
            out += ending
            written, known = _media(line[2:], lines, index, rtp_only=rtp_only)
            refused = known is None
            ending = [] if refused or " udptl " in written else discard
            out.append(written)
            if not placed and (refused or not _is_placed(lines, index)):
                # RFC 8866 §5.7 wants an address for each media, and rtpengine insists on it.
                if written.split(" ")[1] != "0":
                    raise BadMessage("the session description is malformed")
                out.append(f"c={ours}")
        elif kind == "c=":
            placed = placed or not media
            if not refused:
                out.append(f"c={_connection(line[2:], ours, pass_media_address)}")
        elif kind == "b=":
            written = None if refused else bandwidth(line)
            if written is not None:
                out.append(written)
        elif kind == "t=":
            if not timed:
                out.append("t=0 0")
                timed = True
        elif kind == "o=" and not origin:
            origin = out[1] = f"o={_origin(line[2:], salt)} {ours}"
    out += ending
    if not origin:
        raise BadMessage("the session description is malformed")
    if media > MAX_MEDIA:
        raise BadMessage("the session description has more than 16 media", status=513)
    if not timed:
        out.append("t=0 0")
    out.append("")
    return CleanSdp("\r\n".join(out))


def _with_addresses(lines: list[str], host: str) -> list[str]:
    """The lines so that each open media has an address of its own or the session's.

    Media that is refused (port 0) needs none (RFC 8866 §5.7), so a host name there becomes our address. Raise
    BadMessage with status 488 where open media has none that can be used.
    """
    session, sections = None, []  # of each media: [its m= line, the index of its last c= line]
    for index, line in enumerate(lines):
        if line[:2] == "m=":
            sections.append([index, -1])
        elif line[:2] == "c=":
            if sections:
                sections[-1][1] = index
            elif session is None:
                session = index
            else:
                raise BadMessage("the session description is malformed")
    unusable = {
        at: says for at, line in enumerate(lines) if line[:2] == "c=" and (says := _unusable(line[2:]))
    }
    for start, own in sections:
        place = session if own < 0 else own
        if (place is None or place in unusable) and not _is_closed(lines[start]):
            says = "has no address" if place is None else unusable[place]
            raise BadMessage(f"the session description {says}", status=488)
    ours = f"c=IN {'IP6' if ':' in host else 'IP4'} {host}"
    return [ours if at in unusable else line for at, line in enumerate(lines)]


def _unusable(value: str) -> str:
    """Why no media can be sent to a ``c=`` line's address; "" when it can."""
    found = _CONNECTION.fullmatch(value)
    if found is None:
        return "names a host"
    family, _, address = found[1].upper().partition(" ")
    first = address.partition("." if family == "IP4" else ":")[0]
    to_many = int(first) >= _FIRST_TO_MANY if family == "IP4" and first else first.startswith("FF")
    return "names an address of many receivers" if to_many else ""


def has_open_media(text: str) -> bool:
    """Returns True if a description has media that is not refused: an ``m=`` line with a port."""
    return any(line[:2] == "m=" and not _is_closed(line) for line in text.splitlines())


def _is_closed(media: str) -> bool:
    parts = media.split()
    return len(parts) > 1 and parts[1].partition("/")[0].strip("0") == ""


def _origin(value: str, salt: str) -> str:
    found = _ORIGIN.fullmatch(value)
    if found is None:
        raise BadMessage("the session description is malformed")
    digest = hashlib.blake2b(found[1].encode(), key=salt.encode()[:64], digest_size=8).digest()
    offset = int.from_bytes(digest[4:])
    return f"- {int.from_bytes(digest[:4])} {(int(found[2]) + offset) & 0x7FFF_FFFF}"


def _connection(value: str, ours: str, pass_address: bool) -> str:
    found = _CONNECTION.fullmatch(value)
    if found is None:
        return ours
    if found[1] == "IP4 0.0.0.0" or pass_address:
        return f"IN {found[1]}"
    return ours


def _media(value: str, lines: list[str], index: int, *, rtp_only: bool) -> tuple[str, frozenset[str] | None]:
    """The ``m=`` line, and the payload types whose attributes pass; None when the media is refused."""
    value = " ".join(value.split())
    found = _MEDIA.fullmatch(value)
    if found is None:
        refused = _REFUSED_MEDIA.fullmatch(value)
        if refused is None:
            raise BadMessage("the session description is malformed")
        return f"m={refused[1] if refused[1] in ('application', 'message') else 'audio'} 0 RTP/AVP 0", None
    name, port, protocol, formats = found.groups()
    if int(port) > 65_535:
        raise BadMessage("the session description is malformed")
    if protocol == "udptl" and formats == "t38" and not rtp_only:
        return f"m={name} {port} udptl t38", frozenset()
    if protocol not in RTP_PROFILES or (rtp_only and protocol in _DTLS):
        return f"m={name} 0 RTP/AVP 0", None
    codecs = _codecs(lines, index)
    types = [f for f in formats.split(" ") if _type_passes(f, codecs)]
    if not types:
        return f"m={name} 0 {protocol} 0", None
    return f"m={name} {port} {protocol} {' '.join(types)}", frozenset(types)


def _is_placed(lines: list[str], index: int) -> bool:
    """Returns True if the media that begins at ``index`` has an address of its own."""
    for line in lines[index + 1 :]:
        if line[:2] in ("m=", "c="):
            return line[:2] == "c="
    return False


def _codecs(lines: list[str], index: int) -> dict[str, str]:
    """The ``a=rtpmap`` lines of the media that begins at ``index``, by payload type."""
    found = {}
    for line in lines[index + 1 :]:
        if line[:9] == "a=rtpmap:":
            found[line[9 : line.find(" ")]] = line
        elif line[:2] == "m=":
            break
    return found


def _type_passes(payload: str, codecs: dict[str, str]) -> bool:
    """Whether a payload type is a static one, or one whose codec we know by name."""
    line = codecs.get(payload)
    if line is not None:
        return codec_is_known(line)
    return payload.isdigit() and len(payload) <= 2 and int(payload) < 35
