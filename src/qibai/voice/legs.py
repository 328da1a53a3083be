"""What the recorder needs to end a running call: a BYE on behalf of each side, to our own two Contacts."""

import msgspec

from qibai.core.legs import LAST_CSEQ, Leg, Legs
from qibai.core.sip import Message, mapped
from qibai.voice.token import DialogState
from qibai.voice.worker import Worker


def legs_of(
    worker: Worker,
    request: Message,
    response: Message,
    state: DialogState,
    *,
    asked_by_caller: bool,
    tokens: tuple[str, str],
) -> Legs:
    """From an INVITE or UPDATE and its 2xx, each as it came in; ``tokens``: what each side now has of us,
    the asker first."""
    asking, asked = state.caller_peer, state.callee_peer
    if not asked_by_caller:
        asking, asked = asked, asking
    to_tag = request.to_tag or mapped(response.call_id, response.to_tag)
    leg = leg_of_asker(worker, request, to_tag, asking, tokens[0])
    asker = msgspec.structs.replace(leg, cseq=LAST_CSEQ)
    other = Leg(
        uri=_contact(worker, asked, tokens[1]),
        from_=f"<{response.to_uri}>;tag={response.to_tag}",
        to=f"<{response.from_uri}>;tag={response.from_tag}",
        call_id=response.call_id,
        cseq=LAST_CSEQ,
    )
    return Legs(asker, other) if asked_by_caller else Legs(other, asker)


def leg_of_asker(worker: Worker, request: Message, to_tag: str, peer: str, token: str) -> Leg:
    """For requests on behalf of the side that asked, by way of ``peer``; the CSeq is that of ``request``."""
    return Leg(
        uri=_contact(worker, peer, token),
        from_=f"<{request.from_uri}>;tag={request.from_tag}",
        to=f"<{request.to_uri}>;tag={to_tag}",
        call_id=request.call_id,
        cseq=request.cseq,
    )


def _contact(worker: Worker, peer: str, token: str) -> str:
    known = worker.peers.by_name.get(peer)
    return worker.here(known.transport if known else "udp").contact_uri(token)
