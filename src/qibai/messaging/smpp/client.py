"""Our side as an ESME: binds as transceiver to one message centre."""

from datetime import UTC, datetime
from typing import Final

import smpp34

from qibai.config import MessageLink
from qibai.messaging.smpp.base import DEFAULT_PORT, UNOFFERED, SmppLink, SmppSession
from qibai.messaging.smpp.mapping import read_sm
from qibai.messaging.smpp.receipts import is_receipt, read_receipt, says_receipt
from qibai.messaging.smpp.status import Status
from qibai.messaging.smpp.wire import HEADER, Command, as_submit, pdu, write_bind
from qibai.messaging.stream.client import BindRefused, ClientLink
from qibai.messaging.stream.session import RESPONSE, BadPdu, Session

_ACKNOWLEDGEMENTS: Final = 0x3C  #: message types: handsets' and people's, and notes on the way


class SmppClient(ClientLink, SmppLink):
    """A link to a message centre: we submit, it delivers messages and receipts."""

    default_port = DEFAULT_PORT
    session = SmppSession

    def __init__(self, config: MessageLink) -> None:
        super().__init__(config, smpp34.SubmitSm)

    def _hello(self, password: str) -> bytes:
        return write_bind(Command.BIND_TRANSCEIVER, self.config.account, password)

    def _welcomed(self, session: Session, hello: bytes, answer: bytes, password: str) -> None:
        status = HEADER.unpack_from(answer)[2]
        if status != Status.ROK:
            raise BindRefused(f"bind refused with status {status:#04x}")

    async def answer(self, session: Session, command: int, frame: bytes) -> bytes:
        sequence = session.wire.head(frame)[1]
        if command in UNOFFERED or command not in (Command.DELIVER_SM, Command.DATA_SM):
            raise BadPdu(Status.RINVCMDID)
        sm = read_sm(as_submit(frame) if command == Command.DATA_SM else frame)
        receipt = read_receipt(sm, self.config.receipt_ids, datetime.now(UTC)) if is_receipt(sm) else None
        if receipt is not None:
            told = await self.take_sm_receipt(receipt)
        elif told := says_receipt(sm):
            self.note_unread()
        if not told and not sm.esm_class & _ACKNOWLEDGEMENTS:
            return await self.take_sm(sm, command, sequence)
        return pdu(command | RESPONSE, sequence, b"\0")
