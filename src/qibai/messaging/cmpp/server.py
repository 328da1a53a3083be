"""Our side as an ISMG: an account for each peer that may connect."""

import hmac
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from qibai.config import MessageLink, MessagingConfig
from qibai.core.errors import BadText
from qibai.messaging.cmpp.auth import authenticator_ismg, is_fresh, sources_of
from qibai.messaging.cmpp.base import WIRES, CmppLink, CmppSession, version_of
from qibai.messaging.cmpp.counts import Tally, read_query, write_counts
from qibai.messaging.cmpp.mapping import read_submitted
from qibai.messaging.cmpp.pdu import (
    Connect,
    ConnectResp,
    MsgResult,
    read_connect,
    read_submit,
    write_connect_resp,
    write_deliver,
    write_result,
)
from qibai.messaging.cmpp.repeats import Repeats
from qibai.messaging.cmpp.status import ConnectStatus, Result, answer_for
from qibai.messaging.cmpp.wire import HEADER, V2, V3, Command, pdu, result_octets
from qibai.messaging.link import Outgoing, Refused, Rejected, Report
from qibai.messaging.stream.server import AccountLink, Listener
from qibai.messaging.stream.session import RESPONSE, BadPdu, Session

log = structlog.get_logger(__name__)


class CmppAccount(AccountLink, CmppLink):
    """A peer that connects to us: it submits, we deliver messages and reports."""

    def __init__(self, server: "CmppServer", config: MessageLink) -> None:
        super().__init__(config)
        self.server: CmppServer = server
        self.tally = Tally()

    def _ref(self, msg_id: int) -> str:
        """The answer to a Deliver is the last that we hear of it."""
        return ""

    def _write(self, outgoing: Outgoing, session: Session) -> bytes:
        try:
            deliver = self.writer.deliver(outgoing, next(self.ids))
        except BadText:
            raise Rejected("encoding") from None
        return pdu(Command.DELIVER, body=write_deliver(deliver, version_of(session)))

    def _write_report(self, report: Report, session: Session) -> bytes:
        version = version_of(session)
        try:
            deliver = self.writer.report(report, next(self.ids), version)
        except ValueError:
            raise Rejected from None
        return pdu(Command.DELIVER, body=write_deliver(deliver, version))

    async def submit(self, outgoing: Outgoing) -> str:
        try:
            ref = await super().submit(outgoing)
        except Rejected:
            self.tally.add("mo_failed")
            raise
        self.tally.add("mo_sent")
        return ref

    async def take_submit(self, session: Session, frame: bytes) -> bytes:
        """Hand a message to the gateway and answer as it decides."""
        version = version_of(session)
        msg_id = next(self.ids)
        submit = read_submit(frame[HEADER.size :], version)
        verdict = await self.take(read_submitted(submit, self.name, msg_id, datetime.now(UTC)))
        if isinstance(verdict, Refused):
            if not verdict.reason.is_temporary:
                self.tally.add("mt_failed")
            raise BadPdu(answer_for(verdict.reason, delivered=False))
        self.tally.add("mt_sent")
        sequence = session.wire.head(frame)[1]
        body = write_result(MsgResult(msg_id, Result.OK), version)
        return pdu(Command.SUBMIT | RESPONSE, sequence, body)


class CmppServer(Listener):
    """Listens once for all accounts; ``links`` offers one Link for each."""

    protocol = "cmpp"
    session = CmppSession

    def __init__(self, config: MessagingConfig, links: Sequence[MessageLink]) -> None:
        self.links = [CmppAccount(self, link) for link in links]
        super().__init__(config, config.cmpp_port, self.links)
        self._repeats: dict[Session, Repeats] = {}

    def gone(self, session: Session) -> None:
        super().gone(session)
        self._repeats.pop(session, None)

    async def answer(self, session: Session, command: int, frame: bytes) -> bytes:
        sequence = session.wire.head(frame)[1]
        if command == Command.CONNECT:
            return await self._connect(session, _read_connect(frame), sequence)
        account = self.account(session)
        if not isinstance(account, CmppAccount):
            raise BadPdu(Result.COMMAND)
        match command:
            case Command.SUBMIT:
                repeats = self._repeats.setdefault(session, Repeats())
                return await repeats.once(frame, lambda: account.take_submit(session, frame))
            case Command.QUERY:
                query = read_query(frame[HEADER.size :])
                counts = account.tally.of(query.time, account.status().in_flight)
                return pdu(command | RESPONSE, sequence, write_counts(query, counts))
        raise BadPdu(Result.COMMAND)  # Cancel, too: what was taken has gone

    async def _connect(self, session: Session, connect: Connect, sequence: int) -> bytes:
        if not self.begin(session):
            raise BadPdu(ConnectStatus.OTHER)
        session.wire = WIRES[V3 if connect.version >= V3 else V2]
        named, secret = self.find(connect.source_addr)
        try:
            proofs = sources_of(connect.source_addr, secret, connect.timestamp)
        except UnicodeError:
            proofs, secret = [bytes(16)], ""
        fits = [proof for proof in proofs if hmac.compare_digest(proof, connect.authenticator)]
        expected = fits[0] if fits else proofs[0]
        fresh = is_fresh(connect.timestamp, datetime.now(UTC))
        if named is not None and not fresh:
            log.warning("connect_clock", link=named.name)
        given = connect.authenticator if fresh else b""
        account = await self.authenticated(session, named, secret, expected, given)
        status = ConnectStatus.OK
        highest = account.version if isinstance(account, CmppAccount) else V3
        if account is None:
            status = ConnectStatus.AUTHENTICATION
        elif connect.version >= highest + 0x10:
            status = ConnectStatus.VERSION
        elif not self.bind(session, account):
            status = ConnectStatus.OTHER
        proof = bytes(16)
        if status is ConnectStatus.OK:
            octets = result_octets(version_of(session), status)
            proof = authenticator_ismg(octets, connect.authenticator, secret)
        else:
            self.refuse(session)
        resp = ConnectResp(status, proof, highest)
        return pdu(Command.CONNECT | RESPONSE, sequence, write_connect_resp(resp, version_of(session)))


def _read_connect(frame: bytes) -> Connect:
    try:
        return read_connect(frame[HEADER.size :])
    except BadPdu:
        raise BadPdu(ConnectStatus.STRUCTURE) from None
