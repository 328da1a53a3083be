"""What replies need of the request that they answer, kept with its transaction.

Any worker may get the reply, so nothing in the memory of one would do; and to read the request once more from
its transaction costs more than all the rest of a reply.
"""

from typing import Final

import msgspec

from qibai.core.sip import Message, echoed, sdp_of
from qibai.voice.ksr import Ksr
from qibai.voice.octets import writable
from qibai.voice.token import DialogState
from qibai.voice.variables import (
    ASKED,
    ORIGINAL_ADDRESS,
    ORIGINAL_PORT,
    SOURCE_ADDRESS,
    SOURCE_PORT,
)


class Asked(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request as it came in, without what no reply asks for. It never leaves this node's memory."""

    state: DialogState  #: what was known of the call
    transport: str  #: on which it came in
    source: tuple[str, int] | None  #: where from, when its sender wants to know (RFC 3581)
    offer: bool  #: whether it described a session
    retry: bool  #: we sent it to ourselves, since a peer failed it
    method: str
    call_id: str
    cseq: int
    vias: list[str]
    from_: str
    from_uri: str
    from_tag: str
    to: str
    to_uri: str
    to_tag: str
    record_route: list[str]

    def request(self) -> Message:
        """The request, for ``write_response`` and ``legs_of``."""
        message = Message()
        message.status, message.method, message.uri, message.body = 0, self.method, "", ""
        message.text = ""
        message.call_id, message.cseq, message.vias = self.call_id, self.cseq, self.vias
        message.from_uri, message.from_tag = self.from_uri, self.from_tag
        message.to_uri, message.to_tag = self.to_uri, self.to_tag
        message.fields = {"from": [self.from_], "to": [self.to]}
        if self.record_route:
            message.fields["record-route"] = self.record_route
        return message


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Asked)


def asked(
    request: Message,
    state: DialogState,
    *,
    transport: str,
    source: tuple[str, int] | None = None,
    retry: bool = False,
) -> str:
    """The text to keep for ``request``. Raise BadMessage when its body is of no known kind."""
    fields = request.fields
    return _ENCODER.encode(
        Asked(
            state,
            transport,
            source,
            sdp_of(request) is not None,
            retry,
            request.method,
            request.call_id,
            request.cseq,
            request.vias,
            echoed(fields["from"][0], request.from_uri, request.from_tag),
            request.from_uri,
            request.from_tag,
            echoed(fields["to"][0], request.to_uri, request.to_tag),
            request.to_uri,
            request.to_tag,
            [route for route in fields.get("record-route", []) if writable(route) == route],
        )
    ).decode()


def recalled(text: str) -> Asked:
    """What ``asked`` wrote. Raise msgspec.MsgspecError for anything else."""
    return _DECODER.decode(text)


def asked_of(ksr: Ksr) -> Asked:
    """What ``Worker.keep`` has kept of the request whose reply or failure is at hand."""
    return recalled(ksr.pv.gete(ASKED))


def source_of(ksr: Ksr, request: Message) -> tuple[str, int] | None:
    """Where the request at hand came from, when its sender wants to know. Ask before ``Worker.send``."""
    if "rport" not in request.vias[0]:
        return None
    return ksr.pv.gete(SOURCE_ADDRESS), ksr.pv.getvn(SOURCE_PORT, 0)


def original_source_of(ksr: Ksr, request: Message) -> tuple[str, int] | None:
    """Where the request came from whose reply is at hand, when its sender wants to know."""
    if "rport" not in request.vias[0]:
        return None
    return ksr.pv.gete(ORIGINAL_ADDRESS), ksr.pv.getvn(ORIGINAL_PORT, 0)
