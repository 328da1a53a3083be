"""What both CMPP roles share: the version of a link, its ids, PDUs written and answers read."""

from collections.abc import Iterator
from typing import Final

from qibai.config import MessageLink
from qibai.messaging.cmpp.mapping import Writer
from qibai.messaging.cmpp.msgid import msg_ids
from qibai.messaging.cmpp.pdu import read_result
from qibai.messaging.cmpp.status import ConnectStatus, Result, failure
from qibai.messaging.cmpp.wire import HEADER, V2, V3, CmppWire
from qibai.messaging.stream.link import PeerLink
from qibai.messaging.stream.session import BadPdu, Session

DEFAULT_PORT: Final = 7890
WIRES: Final = {V2: CmppWire(V2), V3: CmppWire(V3)}


REFUSALS: Final = {
    ConnectStatus.STRUCTURE: "its structure is wrong, it says",
    ConnectStatus.SOURCE: "it does not know our account, or our address",
    ConnectStatus.AUTHENTICATION: "wrong secret, or clocks that differ",
    ConnectStatus.VERSION: "it speaks no such high version",
}


class CmppSession(Session):
    """In version 3.0 until it is known that the peer speaks another."""

    wire: CmppWire = WIRES[V3]
    probes = 3  #: N: Active_Tests without an answer
    patient = True  #: Active_Test says whether the peer is there


class CmppLink(PeerLink):
    """A peer that speaks CMPP, in either role."""

    protocol = "cmpp"

    def __init__(self, config: MessageLink) -> None:
        super().__init__(config)
        self.version = V2 if config.version == "2.0" else V3
        self.writer = Writer(config)
        self.ids: Iterator[int] = msg_ids(int(config.account) if config.account.isdecimal() else 0)

    def _read_answer(self, frame: bytes) -> str:
        """The Msg_Id. Raise SubmitError."""
        try:
            answer = read_result(frame[HEADER.size :])
        except BadPdu:
            raise failure(Result.LENGTH) from None
        if answer.result != Result.OK:
            raise failure(answer.result)
        return self._ref(answer.msg_id)

    def _ref(self, msg_id: int) -> str:
        raise NotImplementedError


def version_of(session: Session) -> int:
    """The version that a CMPP session speaks: V2 or V3."""
    assert isinstance(session, CmppSession)  # noqa: S101 - roles make no others
    return session.wire.version
