"""What both SMPP roles share: PDUs written and read for the gateway."""

import itertools
import secrets
import time
from datetime import UTC, datetime
from typing import Any, Final

from qibai.config import MessageLink
from qibai.core.errors import StoreUnavailable
from qibai.messaging.link import Outgoing, Receipt, Refused, Report
from qibai.messaging.smpp.mapping import Sm, Writer, read_message
from qibai.messaging.smpp.status import Status, answer_for, failure
from qibai.messaging.smpp.wire import HEADER, Command, SmppWire, cstring, pdu, read_last_cstring
from qibai.messaging.stream.ids import MAX_ID, as_answered
from qibai.messaging.stream.link import PeerLink
from qibai.messaging.stream.session import RESPONSE, BadPdu, Session

DEFAULT_PORT: Final = 2775
#: Commands that belong to a role, and are answered so: we offer none of them.
UNOFFERED: Final = {
    Command.QUERY_SM: Status.RQUERYFAIL,
    Command.CANCEL_SM: Status.RCANCELFAIL,
    Command.REPLACE_SM: Status.RREPLACEFAIL,
}


class SmppSession(Session):
    wire = SmppWire()


class SmppLink(PeerLink):
    """A peer that speaks SMPP, in either role."""

    protocol = "smpp"

    def __init__(self, config: MessageLink, sm: type[Any]) -> None:
        super().__init__(config)
        self._writer = Writer(config, sm)
        # Ids of 19 digits mean the same to peers that take them for text, decimal or hexadecimal. They go on
        # from the microsecond of the start; three random digits, lest a clock that was set back repeats one.
        self._refs = itertools.count(time.time_ns() // 1000 * 1000 + secrets.randbelow(1000), 1000)

    def _write(self, outgoing: Outgoing, session: Session) -> bytes:
        return self._writer.message(outgoing, datetime.now(UTC))

    def _write_report(self, report: Report, session: Session) -> bytes:
        return self._writer.report(report)

    def _read_answer(self, frame: bytes) -> str:
        _length, command, status, _sequence = HEADER.unpack_from(frame)
        status = status or (Status.RINVCMDID if command == RESPONSE else Status.ROK)  # a bare generic_nack
        if status != Status.ROK:
            raise failure(status)
        if self.role == "server":  # the answer to a deliver_sm is the last that we hear of it
            return ""
        if named := read_last_cstring(frame, HEADER.size):
            return as_answered(named.decode("ascii", "replace"), self.config.receipt_ids)[:MAX_ID]
        return f"-{next(self._refs)}"  # taken, and no receipt can name it: nobody will know what became of it

    async def take_sm(self, sm: Sm, command: int, sequence: int) -> bytes:
        """Hand a message to the gateway and answer as it decides."""
        submitted = command != Command.DELIVER_SM and self.role == "server"
        ref = str(next(self._refs))
        verdict = await self.take(read_message(sm, self.name, ref, datetime.now(UTC), self.config.alphabet))
        if isinstance(verdict, Refused):
            raise BadPdu(answer_for(verdict.reason, delivered=not submitted))
        return pdu(command | RESPONSE, sequence, cstring(ref if submitted else ""))

    async def take_sm_receipt(self, receipt: Receipt) -> bool:
        """``take_receipt``. Raise BadPdu where the peer has to send it again."""
        try:
            return await self.take_receipt(receipt)
        except StoreUnavailable:
            raise BadPdu(Status.RX_T_APPN) from None
