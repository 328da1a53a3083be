"""Our side as a service provider: connects to one ISMG, submits, takes what it delivers."""

import hmac
from datetime import UTC, datetime

from qibai.config import MessageLink
from qibai.core.errors import BadText, StoreUnavailable
from qibai.messaging.cmpp.auth import authenticator_ismg, authenticator_source, timestamp
from qibai.messaging.cmpp.base import DEFAULT_PORT, REFUSALS, WIRES, CmppLink, CmppSession, version_of
from qibai.messaging.cmpp.mapping import read_delivered, read_receipt
from qibai.messaging.cmpp.msgid import sent_ref
from qibai.messaging.cmpp.pdu import (
    Connect,
    Deliver,
    MsgResult,
    read_connect,
    read_connect_resp,
    read_deliver,
    read_report,
    reads_as_report,
    write_connect,
    write_result,
    write_submit,
)
from qibai.messaging.cmpp.status import ConnectStatus, Result, answer_for
from qibai.messaging.cmpp.wire import HEADER, V2, V3, Command, pdu, result_octets
from qibai.messaging.link import Outgoing, Refused, Rejected
from qibai.messaging.stream.client import BindRefused, ClientLink
from qibai.messaging.stream.session import RESPONSE, BadPdu, Session


class CmppClient(ClientLink, CmppLink):
    """A link to a carrier's gateway."""

    default_port = DEFAULT_PORT
    session = CmppSession

    def __init__(self, config: MessageLink) -> None:
        super().__init__(config)
        self._agreed = self.version  #: what new sessions begin with

    def _ref(self, msg_id: int) -> str:
        return sent_ref(msg_id)

    def _write(self, outgoing: Outgoing, session: Session) -> bytes:
        try:
            submit = self.writer.submit(outgoing)
        except BadText:
            raise Rejected("encoding") from None
        return pdu(Command.SUBMIT, body=write_submit(submit, version_of(session)))

    # -- connecting --------------------------------------------------------------------------

    def _hello(self, password: str) -> bytes:
        stamp = timestamp(datetime.now(UTC))
        source = authenticator_source(self.config.account, password, stamp)
        connect = Connect(self.config.account, source, self._agreed, stamp)
        return pdu(Command.CONNECT, body=write_connect(connect))

    def _welcomed(self, session: Session, hello: bytes, answer: bytes, password: str) -> None:
        try:
            resp = read_connect_resp(answer[HEADER.size :])
        except BadPdu:
            raise BindRefused("its answer to the Connect cannot be read") from None
        if resp.status == ConnectStatus.VERSION and not self.config.version and self._agreed == V3:
            self._agreed = V2  # the next try is in that
        if resp.status != ConnectStatus.OK:
            known = resp.status in set(ConnectStatus) - {ConnectStatus.OTHER}
            why = REFUSALS[ConnectStatus(resp.status)] if known else "not let in"
            raise BindRefused(f"{why} (status {resp.status})")
        sent = read_connect(hello[HEADER.size :]).authenticator
        status = result_octets(V3 if len(answer) == HEADER.size + 21 else V2, resp.status)
        # Some gateways take the status of 3.0 as one octet here.
        proofs = [authenticator_ismg(one, sent, password) for one in (status, status[-1:])]
        if self.config.verify and not any(hmac.compare_digest(proof, resp.authenticator) for proof in proofs):
            raise BindRefused("it does not know the shared secret")
        if not self.config.version and V2 <= resp.version < V3:
            self._agreed = V2
        session.wire = WIRES[self._agreed]

    # -- what it delivers --------------------------------------------------------------------

    async def answer(self, session: Session, command: int, frame: bytes) -> bytes:
        if command != Command.DELIVER:
            raise BadPdu(Result.COMMAND)
        version = version_of(session)
        deliver = read_deliver(frame[HEADER.size :], version)
        if not await self._take_report(deliver):
            received = read_delivered(deliver, self.name, next(self.ids), datetime.now(UTC))
            verdict = await self.take(received)
            if isinstance(verdict, Refused):
                raise BadPdu(answer_for(verdict.reason, delivered=True))
        sequence = session.wire.head(frame)[1]
        return pdu(command | RESPONSE, sequence, write_result(MsgResult(deliver.msg_id, Result.OK), version))

    async def _take_report(self, deliver: Deliver) -> bool:
        """Returns False if it is no report but a text, which may read as a report: anybody can write that."""
        says_so = deliver.registered_delivery == 1
        if not says_so and not reads_as_report(deliver.content):
            return False
        try:
            receipt = read_receipt(read_report(deliver.content), deliver, datetime.now(UTC))
        except BadPdu:
            receipt = None
        if receipt is None:
            if says_so:
                self.note_unread()
            return says_so
        try:
            return await self.take_receipt(receipt)
        except StoreUnavailable:
            raise BadPdu(Result.FLOW) from None
