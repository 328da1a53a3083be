"""What the SIP link writes beside messages, and how it names what comes in."""

import hashlib
from base64 import urlsafe_b64encode

from qibai.core.badge import Badge
from qibai.core.sip import Message
from qibai.core.sip.phrase import phrase
from qibai.messaging.sip_status import RETRY_AFTER


def ref_of(badge: Badge, request: Message) -> str:
    """The same for the same message, however often it comes; ends with what a notification names."""
    name = f"{badge.peer} {request.call_id} {request.from_tag} {request.cseq}"
    ref = urlsafe_b64encode(hashlib.blake2b(name.encode(), digest_size=12).digest()).decode()
    return f"{ref}.{badge.message_id}" if badge.message_id else ref


def answer_to(request: Message, status: int) -> bytes:
    """A response to a request of Kamailio's."""
    later = RETRY_AFTER.get(status)
    tag = hashlib.blake2b(request.branch.encode(), digest_size=8).hexdigest()
    lines = [
        f"SIP/2.0 {status} {phrase(status)}",
        *(f"Via: {via}" for via in request.vias),
        f"From: {request.fields['from'][0]}",
        f"To: {request.fields['to'][0]};tag={tag}",
        f"Call-ID: {request.call_id}",
        f"CSeq: {request.cseq} {request.method}",
        *([f"Retry-After: {later}"] if later is not None else []),
        "Content-Length: 0\r\n\r\n",
    ]
    return "\r\n".join(lines).encode()
