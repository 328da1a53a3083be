"""Outgoing messages: each is a new message for the side that receives it.

Start line, Via, From, To, Call-ID, tags, Contact, Route and P-Asserted-Identity are made of what that side
knows; of the rest only ``allow`` passes. The same input gives the same bytes, so retransmissions are alike.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from qibai.core.errors import BadMessage
from qibai.core.peers import Transport
from qibai.core.sip.address import read_address
from qibai.core.sip.allow import IN_DIALOG, REQUEST_FILTERS, RESPONSE_FILTERS, passed, q850_cause
from qibai.core.sip.dialog import Leg, mapped
from qibai.core.sip.message import Message
from qibai.core.sip.phrase import phrase, relayed_status
from qibai.core.sip.sdp import CleanSdp

CONTACT_PARAM: Final = "qb"

_STATE_IN_URI = re.compile(rf";{CONTACT_PARAM}=([A-Za-z0-9_\-]+)")
_DTMF_RELAY = re.compile(
    r"[ \t]*Signal[ \t]*=[ \t]*([0-9A-D*#]|1[0-6])[ \t]*(?:\r?\n)?"
    r"(?:[ \t]*Duration[ \t]*=[ \t]*([0-9]{1,4})[ \t]*(?:\r?\n)*)?",
    re.ASCII | re.IGNORECASE,
)
_DTMF = re.compile(r"[ \t]*([0-9A-D*#]|1[0-6])[ \t\r\n]*", re.ASCII | re.IGNORECASE)
_RPORT = re.compile(r";[ \t]*rport(?=[ \t]*(?:;|$))", re.ASCII | re.IGNORECASE)
_SENT_BY = re.compile(r"[ \t]+(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-_]+)")

_UNWRITABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")

_LOOSE = re.compile(r";[ \t]*lr(?![A-Za-z0-9\-])", re.IGNORECASE)

#: Methods whose requests and 2xx responses carry a Contact (and refresh where the dialog goes).
_REFRESHING: Final = frozenset({"INVITE", "UPDATE"})
_SESSION: Final = frozenset({"session-expires", "min-se"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Our own address as one side sees it."""

    host: str
    port: int
    transport: Transport = "udp"
    _via: str = field(init=False, repr=False)
    _contact: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        place = f"{self.host}:{self.port}"
        param = "" if self.transport == "udp" else f";transport={self.transport}"
        object.__setattr__(self, "_via", f"Via: SIP/2.0/{self.transport.upper()} {place};branch=z9hG4bK")
        object.__setattr__(self, "_contact", f"Contact: <sip:{place}{param};{CONTACT_PARAM}=")

    def via(self, branch: str) -> str:
        """The placeholder that stands for the sender's Via."""
        return self._via + branch

    def contact(self, token: str) -> str:
        """A Contact line; whoever sends to it sends ``token`` to us."""
        return f"{self._contact}{token}>"

    def contact_uri(self, token: str) -> str:
        """The URI of that Contact."""
        return self.contact(token)[len("Contact: <") : -1]


def token_in(uri: str) -> str | None:
    """The dialog token in a request URI (made by ``Endpoint.contact``), or None."""
    found = _STATE_IN_URI.search(uri)
    return found[1] if found else None


def write_invite(
    request: Message,
    *,
    here: Endpoint,
    target: str,
    to: str,
    shown: str,
    call_id: str,
    token: str,
    sdp: CleanSdp | None,
    session_expires: int | None = None,
    min_se: int | None = None,
) -> str:
    """The first INVITE to the callee.

    ``target`` is the request URI and ``to`` the callee without port (``callee_uri``), ``shown`` our URI with
    the 700 number (``shown_uri``), ``call_id`` one of ``new_call_id``, ``token`` what opens to the caller's
    leg. ``session_expires`` and ``min_se``, in seconds, replace what the caller asked for. Raise BadMessage
    when ``request`` is no INVITE or has no hop left.
    """
    if request.method != "INVITE" or request.status:
        raise BadMessage("not an INVITE")
    lines = [
        f"INVITE {target} SIP/2.0",
        here.via(mapped(request.call_id, request.branch)),
        f"Max-Forwards: {_hops(request)}",
        f"From: <{shown}>;tag={mapped(request.call_id, request.from_tag)}",
        f"To: <{to}>",
        f"Call-ID: {call_id}",
        f"CSeq: {request.cseq} INVITE",
        here.contact(token),
        f"P-Asserted-Identity: <{shown}>",
    ]
    if session_expires is None and min_se is None:
        lines += passed(request, REQUEST_FILTERS)
    else:
        lines += passed(request, REQUEST_FILTERS, _SESSION)
        if session_expires is not None:
            lines.append(f"Session-Expires: {session_expires}")
        if min_se is not None:
            lines.append(f"Min-SE: {min_se}")
    return _finish(lines, sdp)


def write_in_dialog(
    request: Message, leg: Leg, *, here: Endpoint, token: str | None = None, sdp: CleanSdp | None = None
) -> str:
    """A request within the call (``allow.IN_DIALOG``) for the side that ``leg`` leads to.

    ``token`` is what opens to the sender's leg, needed for INVITE and UPDATE. Raise BadMessage for other
    methods, without a token where it is needed, or with no hop left.
    """
    method = request.method
    if method not in IN_DIALOG or request.status:
        raise BadMessage("this method does not pass within a call")
    target, routes = leg.contact, leg.routes
    if routes and not _LOOSE.search(
        routes[0]
    ):  # a strict router (RFC 3261 §16.12): it finds the target at the end
        target, routes = routes[0], (*routes[1:], leg.contact)
    local_tag = leg.local_tag or mapped(request.call_id, request.from_tag)
    lines = [
        f"{method} {target} SIP/2.0",
        here.via(mapped(request.call_id, request.branch)),
        f"Max-Forwards: {_hops(request)}",
        f"From: <{leg.local_uri}>;tag={local_tag}",
        f"To: <{leg.remote_uri}>;tag={leg.remote_tag}" if leg.remote_tag else f"To: <{leg.remote_uri}>",
        f"Call-ID: {leg.call_id}",
        f"CSeq: {request.cseq} {method}",
    ]
    lines += [f"Route: <{route}>" for route in routes]
    if method in _REFRESHING:
        if token is None:
            raise BadMessage("a request that refreshes the dialog needs a token")
        lines.append(here.contact(token))
    if method not in ("ACK", "BYE"):
        lines += passed(request, REQUEST_FILTERS)
    cause = q850_cause(request)
    if cause is not None:
        lines.append(f"Reason: Q.850;cause={cause}")
    if method == "INFO":
        return _finish_info(lines, request)
    return _finish(lines, sdp)


def write_response(
    response: Message,
    request: Message,
    *,
    here: Endpoint,
    token: str | None = None,
    sdp: CleanSdp | None = None,
    status: int | None = None,
    source: tuple[str, int] | None = None,
    keep_top_via: bool = True,
) -> str:
    """A response for the sender of ``request``, which is as it came in.

    The Via stack, From, To and Call-ID are the sender's own; with ``keep_top_via`` the response's first Via,
    which tm takes off when it relays, stays above them. ``source`` fills in the sender's ``rport`` (RFC
    3581). ``token`` is what opens to the responder's leg: it becomes the Contact of 1xx and 2xx. ``status``
    replaces the response's. Raise BadMessage when the two do not belong together.
    """
    if response.status == 0 or request.status or response.method != request.method:
        raise BadMessage("this response does not answer this request")
    code = relayed_status(response.status) if status is None else status
    vias = request.vias
    if source is not None:
        vias = [_with_source(vias[0], *source), *vias[1:]]
    lines = [f"SIP/2.0 {code} {phrase(code)}"]
    if keep_top_via:
        lines.append(f"Via: {response.vias[0]}")
    lines += [f"Via: {via}" for via in vias]
    to = echoed(request.fields["to"][0], request.to_uri, request.to_tag)
    if not request.to_tag and response.to_tag:
        to = f"{_tagless(to)};tag={mapped(response.call_id, response.to_tag)}"
    lines += [
        f"From: {echoed(request.fields['from'][0], request.from_uri, request.from_tag)}",
        f"To: {to}",
        f"Call-ID: {request.call_id}",
        f"CSeq: {request.cseq} {request.method}",
    ]
    if code < 300:
        routes = request.fields.get("record-route")
        if routes and not request.to_tag:
            lines += [f"Record-Route: {route}" for route in routes if not _UNWRITABLE.search(route)]
        if token is not None and code > 100 and request.method in _REFRESHING:
            lines.append(here.contact(token))
    lines += passed(response, RESPONSE_FILTERS)
    cause = q850_cause(response)
    if cause is not None:
        lines.append(f"Reason: Q.850;cause={cause}")
    return _finish(lines, sdp)


def write_bare_response(
    request: Message, *, here: Endpoint, status: int, source: tuple[str, int] | None = None
) -> str:
    """A response to ``request`` made of the request alone, for where the real one must not pass.

    Its first Via, which tm takes off, is ours.
    """
    branch = mapped(request.call_id, request.branch)
    vias = request.vias
    if source is not None:
        vias = [_with_source(vias[0], *source), *vias[1:]]
    to = echoed(request.fields["to"][0], request.to_uri, request.to_tag)
    if not request.to_tag:
        to = f"{_tagless(to)};tag={branch}"
    code = relayed_status(status)
    lines = [f"SIP/2.0 {code} {phrase(code)}", here.via(branch), *(f"Via: {via}" for via in vias)]
    lines += [
        f"From: {echoed(request.fields['from'][0], request.from_uri, request.from_tag)}",
        f"To: {to}",
        f"Call-ID: {request.call_id}",
        f"CSeq: {request.cseq} {request.method}",
    ]
    return _finish(lines, None)


def echoed(value: str, uri: str, tag: str) -> str:
    """A From or To for the side that wrote it; without its display name where that is no UTF-8 text."""
    if value.isprintable() or not _UNWRITABLE.search(value):
        return value
    return f"<{uri}>;tag={tag}" if tag else f"<{uri}>"


def _hops(request: Message) -> int:
    left = request.max_forwards
    if left <= 0:
        raise BadMessage("no hop is left")
    return min(left, 70) - 1


def _tagless(value: str) -> str:
    """A To without tag, in a shape that a tag can be added to."""
    return value if value.endswith(">") else f"<{read_address(value)[0]}>"


def _with_source(via: str, host: str, port: int) -> str:
    filled = _RPORT.sub(f";rport={port}", via, count=1)
    found = _SENT_BY.search(via)
    if (filled != via or (found is not None and found[1] != host)) and ";received=" not in via:
        filled = f"{filled};received={host}"
    return filled


def _finish(lines: list[str], sdp: CleanSdp | None) -> str:
    if sdp is None:
        lines.append("Content-Length: 0\r\n\r\n")
        return "\r\n".join(lines)
    lines.append(f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}")
    return "\r\n".join(lines)


def _finish_info(lines: list[str], request: Message) -> str:
    """INFO carries a key press or nothing."""
    kind = request.content_type
    if kind == "application/dtmf-relay":
        found = _DTMF_RELAY.fullmatch(request.body)
        body = f"Signal={found[1]}\r\nDuration={found[2] or 160}\r\n" if found else ""
    elif kind == "application/dtmf":
        found = _DTMF.fullmatch(request.body)
        body = found[1] if found else ""
    else:
        body = ""
    if not body:
        return _finish(lines, None)
    lines.append(f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}")
    return "\r\n".join(lines)
