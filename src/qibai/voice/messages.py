"""Messages outside calls (RFC 3428): from peers to the gateway, and from the gateway to a peer.

Kamailio keeps the transaction on both sides; each side gets a new message. A badge in a header of ours
(``core.badge``) says on loopback what is sure of a message; from anywhere else this header is refused.
"""

import contextlib
import socket
import time
from typing import Final

from qibai.config import Peer
from qibai.core.badge import BADGE_HEADER, PEER_HEADER, Badge, open_badge, seal_badge
from qibai.core.errors import BadMessage, QibaiError, TokenBroken
from qibai.core.numbering import Msisdn, Number700
from qibai.core.sip import (
    Endpoint,
    Message,
    Notice,
    PageRefused,
    called_number,
    callee_uri,
    caller_identity,
    expires_in,
    mapped,
    number_in,
    parse,
    read_page,
    shown_uri,
    unsupported,
    uri_host,
    write_page,
    write_response,
)
from qibai.core.sip.page import ACCEPT, PLAIN
from qibai.core.sip.phrase import phrase
from qibai.core.sip.salvage import status_of
from qibai.voice import variables
from qibai.voice.invite import RETRY_AFTER, RETRY_HEADER
from qibai.voice.octets import text_of
from qibai.voice.peers import LOOPBACK, uri_of
from qibai.voice.request_memo import original_source_of
from qibai.voice.worker import Worker, parse_request

_TIMED_OUT: Final = 408
#: A peer that answers so has not taken the message, but another may. Silence, and the time-outs of others
#: (408, 504), leave it in doubt: then only the gateway, which counts, may have it sent once more.
_UNREACHABLE: Final = frozenset({500, 502, 503})
_TRYING: Final = "SIP/2.0 100 "


def on_message(worker: Worker, request: Message, peer: Peer) -> None:
    """Take a MESSAGE outside calls."""
    strange = unsupported(request)
    if strange:
        worker.refuse(420, "Bad Extension", header=f"Unsupported: {', '.join(strange)}\r\n")
        return
    token = request.first(BADGE_HEADER.lower())
    if token is not None:
        _from_gateway(worker, request, token)
    elif peer is LOOPBACK:
        worker.refuse(403, "Forbidden")
    elif worker.has_seen(request):
        worker.refuse(482, "Loop Detected")
    elif worker.ksr.tm.t_newtran() > 0:
        _from_peer(worker, request, peer)


# -- in ----------------------------------------------------------------------------------------


def _from_peer(worker: Worker, request: Message, peer: Peer) -> None:
    try:
        page = read_page(request)
    except PageRefused as exc:
        _answer(worker, exc.status, ACCEPT if exc.status == 415 else "")
        return
    except BadMessage:
        _answer(worker, 400)
        return
    if page is None:  # it tells that a message was shown, or the like
        _answer(worker, 200)
        return
    if isinstance(page, Notice):
        body = ""
        badge = Badge("notice", int(time.time()), peer.name, message_id=page.message_id, state=page.state)
    else:
        body = page.text
        badge = Badge(
            "in",
            int(time.time()),
            peer.name,
            source=str(caller_identity(request, trust_asserted=True) or _digits(request.from_uri)),
            destination=str(called_number(request) or _digits(request.uri)),
            message_id=page.message_id,
            wants_delivery=page.wants_delivery,
            wants_failures=page.wants_failures,
            expires=expires_in(request),
        )
    here, gateway = worker.inside, worker.gateway_uri or ""
    text = write_page(
        target=gateway,
        here=here,
        branch=mapped(request.call_id, request.branch),
        source=f"sip:voice@{here.host}",
        tag=mapped(request.call_id, request.from_tag),
        destination=f"sip:gateway@{here.host}",
        call_id=mapped(request.call_id, f"{peer.name} {request.from_tag}"),
        cseq=request.cseq,
        content_type=PLAIN,
        body=body,
        asserted=False,
        header=f"{BADGE_HEADER}: {seal_badge(badge, worker.keys, body)}",
    )
    worker.ksr.tm.t_on_failure("ksr_failure_message")
    if not _relay(worker, text, here, gateway):
        _answer(worker, 503, RETRY_AFTER)


def _digits(uri: str) -> str:
    return number_in(uri) or ""


def on_failure(worker: Worker) -> None:
    """The gateway refused a message, or does not answer."""
    if worker.ksr.tm.t_branch_timeout() > 0:
        _answer(worker, 503, RETRY_AFTER)
    else:
        _pass_unavailable(worker)


def _pass_unavailable(worker: Worker) -> None:
    """A 503 passes as it is; by itself tm makes a 500 of it, as a proxy has to (RFC 3261 §16.7)."""
    if worker.ksr.pv.getvn(variables.FINAL_STATUS, 0) == 503:
        seconds = worker.ksr.pv.get(variables.RETRY_AFTER)
        _answer(worker, 503, f"Retry-After: {seconds}\r\n" if seconds else RETRY_AFTER)


# -- out ---------------------------------------------------------------------------------------


def _from_gateway(worker: Worker, request: Message, token: str) -> None:
    ksr = worker.ksr
    inside = ksr.pv.get(variables.SOURCE_ADDRESS) in ("127.0.0.1", "::1", worker.voice.host)
    failed = request.first(RETRY_HEADER.lower())
    try:
        if not inside:
            raise TokenBroken
        now = time.time()
        badge = open_badge(token, worker.keys, now=now, body=request.body)
        after = open_badge(failed, worker.keys, now=now) if failed is not None else None
        if badge.kind != "out" or (after is not None and after.kind != "next"):
            raise TokenBroken
    except TokenBroken:
        worker.refuse(403, "Forbidden")
        return
    if ksr.tm.t_newtran() > 0:
        _send(worker, request, badge, _target(worker, badge, after))


def _target(worker: Worker, badge: Badge, after: Badge | None) -> Peer | None:
    """The peer to try: after one that failed the next; after one that was silent rather another."""
    if after is not None:
        return worker.next_peer(after.peer)
    return (worker.next_peer(badge.peer) if badge.peer else None) or worker.choose_peer()


def _send(worker: Worker, request: Message, badge: Badge, target: Peer | None) -> None:
    """``target``: the peer to try."""
    while target is not None:
        worker.ksr.pv.sets(variables.FAILED_PEER, target.name)
        try:
            text = _written(worker, request, badge, target)
        except QibaiError:  # a number that is none: the gateway and we are of different releases
            _answer(worker, 400)
            return
        worker.ksr.tm.t_on_failure("ksr_failure_sent_message")
        if _relay(worker, text, worker.here(target.transport), uri_of(target)):
            return
        target = worker.next_peer(target.name)
    _answer(worker, 503, RETRY_AFTER)


def _written(worker: Worker, request: Message, badge: Badge, target: Peer) -> str:
    here, place = worker.here(target.transport), uri_host(target.host)
    style = target.number_format
    receiver = Msisdn.parse(badge.destination)
    return write_page(
        target=callee_uri(receiver, style, place, target.port, target.transport),
        here=here,
        branch=mapped(request.call_id, request.branch),
        source=shown_uri(Number700.parse(badge.source), style, here.host),
        tag=request.from_tag,
        destination=callee_uri(receiver, style, place),
        call_id=request.call_id,
        cseq=request.cseq,
        content_type=request.first("content-type") or PLAIN,  # an empty text has none
        body=request.body,
        expires=badge.expires,
    )


def on_sent_failure(worker: Worker) -> None:
    """A peer did not take a message: send it to the next one, or say that nobody does.

    Of one that did not answer in time nobody knows whether it has the message: the gateway hears 408.
    """
    ksr = worker.ksr
    failed = ksr.pv.gete(variables.FAILED_PEER)
    if ksr.tm.t_branch_timeout() > 0:
        ksr.pv.seti(variables.DOUBTED, 1)
        _answer(worker, _TIMED_OUT, f"{PEER_HEADER}: {failed}\r\n")
        return
    status = ksr.pv.getvn(variables.FINAL_STATUS, 0)
    if status in _UNREACHABLE and worker.next_peer(failed) is not None and _hand_on(worker, failed):
        return
    _pass_unavailable(worker)


def _hand_on(worker: Worker, failed: str) -> bool:
    """Send the message as it came to ourselves, as ``invite.hand_on`` does and for the same reason."""
    ksr = worker.ksr
    token = seal_badge(Badge("next", int(time.time()), failed), worker.keys)
    ksr.hdr.append(f"{RETRY_HEADER}: {token}\r\n")
    ksr.pv.sets(variables.DESTINATION, worker.self_uri)
    ksr.tm.t_on_reply("ksr_reply_retried")
    ksr.tm.t_set_fr(0, 30_000)
    return ksr.tm.t_relay() > 0


# -- both --------------------------------------------------------------------------------------


def on_reply(worker: Worker, text: str) -> None:
    """A reply, by the gateway or by a peer: of it only the status counts, and Retry-After."""
    if text.startswith(_TRYING):
        return
    ksr = worker.ksr
    response = parse(text)
    if ksr.pv.get(variables.DOUBTED):
        _tell_late(worker, response)
    if response.status == 503:
        ksr.pv.sets(variables.RETRY_AFTER, _seconds(response))
    request = parse_request(text_of(ksr, variables.ORIGINAL_MESSAGE))
    source = original_source_of(ksr, request)
    # Both ways a 503 is heard by us or said by us: the gateway tries again, or asks the sender to. A peer's
    # 3xx names another place, where Qibai does not follow: only the gateway hears it, as what it is.
    status = response.status if response.status == 503 or 300 <= response.status < 400 else None
    written = write_response(response, request, here=worker.inside, source=source, status=status)
    ksr.textopsx.msg_set_buffer(written)


def on_late_reply(worker: Worker, text: str) -> bool:
    """A peer's reply without a transaction. True: it ends a MESSAGE, and the gateway has heard of it."""
    if worker.gateway_uri is None or status_of(text) < 200:
        return False
    try:
        response = parse(text)
    except BadMessage:
        return False
    if response.method != "MESSAGE":
        return False
    _tell_late(worker, response)
    return True


def on_failed_peer_reply(worker: Worker, text: str) -> None:
    """A reply by a peer that had failed, while the next one has the message."""
    response = parse(text)
    if response.status >= 200:
        _tell_late(worker, response)
    request = parse_request(text_of(worker.ksr, variables.ORIGINAL_MESSAGE))
    written = write_response(response, request, here=worker.inside, status=max(response.status, 100))
    worker.ksr.textopsx.msg_set_buffer(written)


def _tell_late(worker: Worker, response: Message) -> None:
    """The gateway knows the Call-ID; each copy that it had sent bears another branch."""
    here, copy = worker.inside, response.vias[-1]
    badge = Badge(
        "late", int(time.time()), source=copy, message_id=response.call_id, state=str(response.status)
    )
    text = write_page(
        target=worker.gateway_uri or "",
        here=here,
        branch=mapped(response.call_id, f"late {response.status} {copy}"),
        source=f"sip:voice@{here.host}",
        tag=mapped(response.call_id, "late"),
        destination=f"sip:gateway@{here.host}",
        call_id=mapped(response.call_id, f"late {copy}"),
        content_type=PLAIN,
        body="",
        asserted=False,
        header=f"{BADGE_HEADER}: {seal_badge(badge, worker.keys)}",
    )
    address = ("127.0.0.1", worker.gateway_port)
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as once:
        once.sendto(text.encode(), address)


def _seconds(response: Message) -> str:
    value = response.first("retry-after") or ""
    return value if value.isascii() and value.isdigit() and len(value) <= 6 else ""


def _relay(worker: Worker, text: str, here: Endpoint, to: str) -> bool:
    """Send ``text`` in the place of the message at hand; False: it did not go, and is put back."""
    ksr = worker.ksr
    original = text_of(ksr)
    worker.send(text, here, to)
    ksr.tm.t_on_reply("ksr_reply_message")
    if ksr.tm.t_relay() > 0:
        return True
    worker.take_back(original)
    return False


def _answer(worker: Worker, status: int, header: str = "") -> None:
    """In the transaction."""
    if header:
        worker.ksr.hdr.append_to_reply(header)
    worker.ksr.tm.t_reply(status, phrase(status))
