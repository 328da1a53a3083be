"""What an INVITE's transaction remembers of its call, and what a call leaves for its end from our side."""

from typing import Final

import msgspec

from qibai.core.sip import Endpoint, Leg, Message
from qibai.voice.token import DialogState

#: CSeq of the BYEs from our side: above whatever a user agent counts up to in one call.
_LAST_CSEQ: Final = 1 << 30


class Call(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A call on its way; kept with the INVITE's transaction, in memory alone."""

    code: int
    call_id: int  #: of the call record
    binding_id: int
    tenant_id: int
    shown: int  #: serial
    callee: bytes  #: sealed
    max_call_s: int
    started_at: int
    sip_call_id: str  #: the Call-ID that the callee knows
    media_id: str
    caller_peer: str
    callee_peer: str
    session_expires: int

    def state(self, *, from_caller: bool, leg: Leg, near_routes: tuple[str, ...]) -> DialogState:
        return DialogState(
            from_caller=from_caller,
            leg=leg,
            near_routes=near_routes,
            code=self.code,
            binding_id=self.binding_id,
            call_id=self.call_id,
            tenant_id=self.tenant_id,
            started_at=self.started_at,
            max_call_s=self.max_call_s,
            session_expires=self.session_expires,
            media_id=self.media_id,
            caller_peer=self.caller_peer,
            callee_peer=self.callee_peer,
        )


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Call)


def pack(call: Call) -> str:
    return _ENCODER.encode(call).decode()


def unpack(text: str) -> Call:
    return _DECODER.decode(text)


class Bye(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """A BYE as one side would send it to our Contact; Qibai sends it to itself to end the call."""

    uri: str  #: the Contact that we gave that side
    from_: str
    to: str
    call_id: str
    cseq: int


class Legs(msgspec.Struct, frozen=True):
    """The two BYEs that end a call: as from the caller (it reaches the callee), as from the callee."""

    caller: Bye
    callee: Bye


def bye(here: Endpoint, token: str, leg: Leg, cseq: int) -> Bye:
    """The BYE of the side that ``leg`` leads to, for the Contact with ``token`` that this side was given."""
    return Bye(
        here.contact_uri(token),
        _address(leg.remote_uri, leg.remote_tag),
        _address(leg.local_uri, leg.local_tag),
        leg.call_id,
        max(cseq + 1000, _LAST_CSEQ),
    )


def legs_json(caller: Bye, callee: Bye) -> str:
    return _ENCODER.encode(Legs(caller, callee)).decode()


def _address(uri: str, tag: str) -> str:
    return f"<{uri}>;tag={tag}" if tag else f"<{uri}>"


def route_set(request: Message) -> tuple[str, ...]:
    """The route set of the side that sent ``request``, which sets up a dialog."""
    from qibai.core.sip.dialog import leg_of_request  # noqa: PLC0415

    return leg_of_request(request).routes
