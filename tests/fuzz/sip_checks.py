"""What every relayed message must satisfy, for tests by example, by property and by fuzzing alike.

``relay`` sends one text through all that the routing script would do with it; ``recheck`` is a second,
stricter reader that shares nothing with the first; ``leaks`` looks for one side's secrets in
what the other side gets.
"""

import base64
import binascii
import email.parser
import email.policy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

from qibai.core.numbering import Msisdn, Number700
from qibai.core.sip import (
    BadMessage,
    Endpoint,
    Leg,
    Message,
    Notice,
    PageRefused,
    callee_uri,
    clean_sdp,
    expires_in,
    leg_of_request,
    leg_of_response,
    mapped,
    parse,
    read_page,
    sdp_of,
    shown_uri,
    write_in_dialog,
    write_invite,
    write_page,
    write_response,
)
from qibai.core.sip.cpim import CPIM, read_notification, write_cpim, write_notification
from qibai.core.sip.page import PLAIN
from qibai.voice.token import DialogState, open_state, seal_state

CALLER, CALLEE = Msisdn("+8613800138000"), Msisdn("+8613912345678")
X = Number700.parse("700123456780001")
#: Everything that identifies the sender in the samples; the receiver must see none of it.
SECRETS = ("13800138000", "10.20.30.40", "zhangsan", "caller.example.com")
OUR_CALL_ID = "Zk3uQm8wXr1vYt6pLs0a"
HERE = Endpoint("192.0.2.7", 5060)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Keys:
    """One fixed token key."""

    current_token_key = (1, b"k" * 32)

    def token_key(self, id: int) -> bytes:
        return b"k" * 32


KEYS = Keys()
#: How to reach the side that gets what is relayed.
LEG = Leg(
    f"sip:{CALLEE.e164}@203.0.113.9:5060",
    ("sip:203.0.113.1;lr",),
    f"sip:{X}@192.0.2.7;user=phone",
    "ourtag",
    f"sip:{CALLEE.e164}@203.0.113.9;user=phone",
    "theirtag",
    OUR_CALL_ID,
)


@dataclass(frozen=True)
class Relayed:
    """One outgoing text; ``echo`` when it goes back to the request's sender, whose names it may carry."""

    text: str
    echo: bool


def state_for(leg: Leg, *, from_caller: bool) -> DialogState:
    return DialogState(
        from_caller,
        leg,
        (),
        12345678,
        1 << 60,
        1 << 59,
        1,
        1_764_000_000,
        3_600,
        1_800,
        OUR_CALL_ID,
        "e",
        "w",
    )


def token_to(leg: Leg) -> str:
    """A token for ``leg``, which opens to what was sealed."""
    state = state_for(leg, from_caller=False)
    token = seal_state(state, KEYS)
    assert open_state(token, KEYS) == state
    return token


def relay(text: str | bytes) -> list[Relayed]:
    """All that can be written from ``text``. Raise BadMessage just where it is refused as a whole."""
    message = parse(text)
    if message.is_request:
        return list(_requests(message))
    return list(_responses(message))


def _page(request: Message) -> Iterator[Relayed]:
    """A MESSAGE outside calls: of the request goes on what it says, for how long, and nothing else."""
    try:
        page = read_page(request)
    except PageRefused as exc:
        assert exc.status in (415, 513)
        return
    if page is None:
        return
    if isinstance(page, Notice):
        xml = write_notification(Notice("m0", page.state), NOW)
        assert read_notification(xml.encode()) is not None
        wrapped = write_cpim(
            xml, source=str(X), destination=CALLEE.e164, message_id="m1", at=NOW, notification=True
        )
    else:
        assert page.text
        wrapped = write_cpim("text", source=str(X), destination=CALLEE.e164, message_id="m1", at=NOW)
    for style in ("e164", "national", "tel"):
        for kind, body in ((PLAIN, "text"), (CPIM, wrapped)):
            text = write_page(
                target=callee_uri(CALLEE, style, "203.0.113.9", 5060),
                here=HERE,
                branch=mapped(request.call_id, request.branch),
                source=shown_uri(X, style, HERE.host),
                tag="ourtag",
                destination=callee_uri(CALLEE, style, "203.0.113.9"),
                call_id=OUR_CALL_ID,
                content_type=kind,
                body=body,
                expires=expires_in(request),
            )
            read = read_page(parse(text))
            assert read == Notice("m0", page.state) if isinstance(read, Notice) else read is not None
            yield Relayed(text, False)


def _requests(request: Message) -> Iterator[Relayed]:
    if request.method == "MESSAGE":
        yield from _page(request)
        return
    if request.method not in ("INVITE", "ACK", "BYE", "UPDATE", "PRACK", "INFO"):
        return
    sdp = sdp_of(request)
    cleaned = None if sdp is None else clean_sdp(sdp, "192.0.2.8", salt=request.call_id)
    token = token_to(leg_of_request(request)) if request.method in ("INVITE", "UPDATE") else None
    yield Relayed(write_in_dialog(request, LEG, here=HERE, token=token, sdp=cleaned), False)
    if request.method == "INVITE":
        assert token is not None
        for style in ("e164", "national", "tel"):
            text = write_invite(
                request,
                here=HERE,
                target=callee_uri(CALLEE, style, "203.0.113.9", 5060),
                to=callee_uri(CALLEE, style, "203.0.113.9"),
                shown=shown_uri(X, style, HERE.host),
                call_id=OUR_CALL_ID,
                token=token,
                sdp=cleaned,
            )
            yield Relayed(text, False)
    answer = parse(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKk\r\n"
        f"From: <{LEG.local_uri}>;tag=ourtag\r\nTo: <{LEG.remote_uri}>;tag=theirtag\r\n"
        f"Call-ID: {OUR_CALL_ID}\r\nCSeq: {request.cseq} {request.method}\r\n"
        f"Contact: <{LEG.contact}>\r\nContent-Length: 0\r\n\r\n"
    )
    token = token_to(leg_of_response(answer))
    yield Relayed(write_response(answer, request, here=HERE, token=token, source=("10.20.30.40", 5060)), True)


def _responses(response: Message) -> Iterator[Relayed]:
    request = parse(
        f"{response.method} sip:{X}@192.0.2.7 SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKb\r\n"
        f"From: <sip:{CALLEE.e164}@203.0.113.9>;tag=their\r\nTo: <sip:{X}@192.0.2.7>\r\n"
        f"Call-ID: other@203.0.113.9\r\nCSeq: 7 {response.method}\r\n"
        "Contact: <sip:203.0.113.9>\r\nContent-Length: 0\r\n\r\n"
    )
    sdp = sdp_of(response)
    cleaned = None if sdp is None else clean_sdp(sdp, "192.0.2.8", salt=response.call_id)
    token = token_to(leg_of_response(response)) if response.contact else None
    # tm puts its own Via back on top, so the received one is no part of what is written here
    text = write_response(response, request, here=HERE, token=token, sdp=cleaned, keep_top_via=False)
    yield Relayed(text, False)


# -- a second reader ---------------------------------------------------------------------------

_WORD = r"[A-Za-z0-9\-.!%*_+`'~]+"
_HOSTPORT = r"(?:[0-9.]+|[A-Za-z0-9.\-]+)(?::[0-9]{1,5})?"
_NUMBER_URI = (
    r"(?:sip:\+?[0-9]{11,15}@" + _HOSTPORT + r"(?:;user=phone)?|tel:\+?[0-9]{11,15}(?:;phone-context=\+86)?)"
)
_TAGS = r"(?:100rel|timer|precondition)(?:, (?:100rel|timer|precondition))*"
_METHODS = r"(?:ACK|BYE|CANCEL|INFO|INVITE|OPTIONS|PRACK|UPDATE)"
#: Each header that may go to the other side, and the only shapes that its value may have.
_STRICT = {
    name: re.compile(pattern)
    for name, pattern in {
        "Via": rf"SIP/2\.0/(?:UDP|TCP|TLS) {_HOSTPORT};branch=z9hG4bK[0-9a-zA-Z]{{1,16}}",
        "From": rf"<{_NUMBER_URI}>;tag=[0-9a-z]+",
        "To": rf"<{_NUMBER_URI}>(?:;tag=[0-9a-z]+)?",
        "Call-ID": r"[A-Za-z0-9_\-]{20}|other@203\.0\.113\.9",
        "CSeq": rf"[0-9]{{1,10}} {_WORD}",
        "Max-Forwards": "[0-9]|[1-6][0-9]",
        "Contact": rf"<sip:{_HOSTPORT};qb=[A-Za-z0-9_\-]{{40,}}>",
        "Route": r"<sip:203\.0\.113\.1;lr>",
        "P-Asserted-Identity": rf"<{_NUMBER_URI}>",
        "Supported": _TAGS,
        "Require": _TAGS,
        "Allow": rf"{_METHODS}(?:, {_METHODS})*",
        "Session-Expires": "[0-9]{1,6}(?:;refresher=ua[cs])?",
        "Min-SE": "[0-9]{1,6}",
        "Expires": "[0-9]{1,9}",
        "Retry-After": "[0-9]{1,6}",
        "P-Early-Media": "supported|sendrecv|sendonly|recvonly|inactive|gated",
        "RAck": "[0-9]{1,10} [0-9]{1,10} INVITE",
        "RSeq": "[0-9]{1,10}",
        "Reason": r"Q\.850;cause=[0-9]{1,3}",
        "Content-Type": "application/(?:sdp|dtmf-relay|dtmf)|text/plain;charset=UTF-8|message/cpim",
        "Content-Length": "[0-9]{1,5}",
    }.items()
}
_ONCE = {"From", "To", "Call-ID", "CSeq", "Content-Length", "Content-Type", "Contact", "Max-Forwards"}
_SDP_LINE = re.compile(
    r"v=0|s=-|t=0 0|o=- [0-9]{1,10} [0-9]{1,10} IN IP4 192\.0\.2\.8|c=IN IP4 (?:192\.0\.2\.8|0\.0\.0\.0)"
    r"|b=[A-Z]{2,4}:[0-9]{1,7}|m=[a-z]{4,11} [0-9]{1,5} [A-Za-z/]{5,20}(?: [0-9]{1,3}| t38)+"
    r"|a=[A-Za-z0-9\-]+(?::[\x20-\x7e]{1,160})?"
)


def recheck(relayed: Relayed) -> None:
    """Read ``relayed`` strictly, and by Python's mail parser; AssertionError when either objects."""
    text = relayed.text
    head, blank, body = text.partition("\r\n\r\n")
    assert blank
    lines = head.split("\r\n")
    assert all("\r" not in line and "\n" not in line for line in lines)
    assert re.fullmatch(
        rf"(?:{_METHODS}|MESSAGE) (?:sip|tel):[!-~]+ SIP/2\.0|SIP/2\.0 [1-6][0-9]{{2}} [A-Za-z\-/ ]+",
        lines[0],
    ), "start line"
    names = []
    for line in lines[1:]:
        name, colon, value = line.partition(": ")
        assert colon, "header"
        names.append(name)
        if relayed.echo and name in ("Via", "From", "To", "Call-ID", "Record-Route"):
            continue
        assert name in _STRICT, name
        assert _STRICT[name].fullmatch(value), name
    for name in _ONCE:
        assert names.count(name) <= 1, name
    assert {"Via", "From", "To", "Call-ID", "CSeq", "Content-Length"} <= set(names)
    assert body.isascii()
    assert int(lines[-1].partition(": ")[2]) == len(body)
    if "Content-Type: application/sdp" in lines:
        assert body.endswith("\r\n")
        for line in body[:-2].split("\r\n"):
            assert _SDP_LINE.fullmatch(line), "SDP"
    if not relayed.echo:
        assert head.isascii()
        mail = email.parser.Parser(policy=email.policy.HTTP).parsestr(head.partition("\r\n")[2] + "\r\n\r\n")
        assert not mail.defects
        assert mail.keys() == names
    again = parse(text)
    assert again.body == body


# -- leaks -------------------------------------------------------------------------------------

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){6,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-]{8,}")


def views(text: str) -> Iterator[str]:
    """``text`` as it is, and what comes out when it, or a run in it, is decoded."""
    yield text
    yield unquote_to_bytes(text).decode("latin-1")
    for run in _HEX.findall(text):
        yield bytes.fromhex(run).decode("latin-1")
    for run in _BASE64.findall(text):
        for cut in range(4):
            piece = run[cut:].replace("-", "+").replace("_", "/")
            try:
                yield base64.b64decode(piece + "=" * (-len(piece) % 4)).decode("latin-1")
            except binascii.Error:
                continue


def leaks(text: str, secrets: tuple[str, ...] = SECRETS) -> list[str]:
    """The secrets that stand in ``text`` in any encoding, forwards or backwards."""
    found = set()
    for view in views(text):
        low = view.lower()
        squeezed = re.sub(r"[\s\-.()]", "", low)
        for secret in secrets:
            if secret in low or secret[::-1] in low or (secret.isdigit() and secret in squeezed):
                found.add(secret)
    return sorted(found)


def check(text: str | bytes) -> None:
    """Relay ``text`` and check all that comes out; refusing it is fine too."""
    try:
        out = relay(text)
    except BadMessage:
        return
    for relayed in out:
        recheck(relayed)
        if not relayed.echo:
            assert not leaks(relayed.text), "leak"
