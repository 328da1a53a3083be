"""CMPP's Submit and Deliver as the gateway's types, and back. What is not named here is not passed on.

Which number stands where: who sends is Submit's Src_Id and Deliver's Src_terminal_Id; who receives is
Submit's Dest_terminal_Id and Deliver's Dest_Id. So a peer that submits to us, a carrier's network with a
subscriber's message, writes the subscriber into Src_Id and the 700 number into Dest_terminal_Id.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from qibai.config import MessageLink
from qibai.core.messages import MessageState
from qibai.messaging.cmpp.coding import read_part, write_part
from qibai.messaging.cmpp.msgid import id_of, received_ref, sent_ref, swapped
from qibai.messaging.cmpp.pdu import Deliver, StatusReport, Submit, write_report
from qibai.messaging.cmpp.status import Result, read_stat, write_stat
from qibai.messaging.link import Outgoing, Receipt, Received, Report
from qibai.messaging.stream.session import BadPdu
from qibai.messaging.stream.times import read_short, read_time, write_short, write_until

_BILL_ONLY: Final = 2  #: Registered_Delivery: the message is there to be charged alone
_SP_PAYS: Final = 2  #: Fee_UserType: no subscriber is charged by what we write


def read_submitted(submit: Submit, link: str, msg_id: int, now: datetime) -> Received:
    """A message that a peer submits to us. Raise BadPdu with the result for one that we do not take.

    Some peers fill fields up with spaces.
    """
    if len(submit.dest_terminal_ids) != 1:  # one Msg_Id could not tell what became of several
        raise BadPdu(Result.DESTINATION)
    if submit.registered_delivery == _BILL_ONLY:  # by the protocol no text goes to the receiver
        raise BadPdu(Result.OTHER)
    if submit.at_time.strip():
        raise BadPdu(Result.OTHER)  # not at another time
    try:
        valid_until = read_time(submit.valid_time.strip(), now)
    except (ValueError, OverflowError):
        raise BadPdu(Result.STRUCTURE) from None
    return Received(
        link=link,
        ref=received_ref(msg_id, now),
        source=submit.src_id.strip(),
        destination=submit.dest_terminal_ids[0].strip(),
        part=read_part(submit.msg_fmt, submit.tp_udhi, submit.content),
        wants_receipt=submit.registered_delivery == 1,
        valid_until=valid_until,
    )


def read_delivered(deliver: Deliver, link: str, spare_id: int, now: datetime) -> Received:
    """A message that a gateway delivers to us; ``spare_id`` is for one that has no id. Raise BadPdu.

    The parts of a long message may bear one id, so the part's place is in the ref, too.
    """
    part = read_part(deliver.msg_fmt, deliver.tp_udhi, deliver.content)
    ref = received_ref(deliver.msg_id or spare_id, now)
    return Received(
        link=link,
        ref=f"{ref}.{part.concat.seq}" if part.concat else ref,
        source=deliver.src_terminal_id.strip(),
        destination=deliver.dest_id.strip(),
        part=part,
    )


def read_receipt(report: StatusReport, deliver: Deliver, now: datetime) -> Receipt | None:
    """What a report says, None if it cannot be read. Its ``state`` is SENT where nothing is final yet."""
    found = read_stat(report.stat)
    if found is None:
        return None
    return Receipt(
        sent_ref(report.msg_id),
        found.state or MessageState.SENT,
        now,
        found.error,
        others=tuple(sent_ref(id) for id in swapped(report.msg_id)),
        stated_at=read_short(report.done_time.strip()),
        ends=(
            report.dest_terminal_id.strip() or deliver.src_terminal_id.strip(),
            deliver.dest_id.strip(),
        ),
        sure=deliver.registered_delivery == 1,
    )


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes for one link: every field but text and numbers from the configuration."""

    link: MessageLink

    def submit(self, outgoing: Outgoing) -> Submit:
        """Raise BadText."""
        msg_fmt, udhi, content = write_part(outgoing.part)
        concat = outgoing.part.concat
        return Submit(
            src_id=outgoing.source,
            dest_terminal_ids=(self._number(outgoing.destination),),
            content=content,
            msg_fmt=msg_fmt,
            pk_total=concat.total if concat else 1,
            pk_number=concat.seq if concat else 1,
            registered_delivery=1,
            service_id=self.link.service,
            fee_user_type=_SP_PAYS,
            tp_udhi=udhi,
            msg_src=self.link.account,
            fee_type=self.link.fee_type,
            fee_code=self.link.fee_code,
            valid_time=write_until(outgoing.valid_until),
        )

    def deliver(self, outgoing: Outgoing, msg_id: int) -> Deliver:
        """Raise BadText."""
        msg_fmt, udhi, content = write_part(outgoing.part)
        return Deliver(
            msg_id=msg_id,
            dest_id=self._number(outgoing.destination),
            src_terminal_id=outgoing.source,
            content=content,
            msg_fmt=msg_fmt,
            service_id=self.link.service,
            tp_udhi=udhi,
        )

    def report(self, report: Report, msg_id: int, version: int) -> Deliver:
        """Raise ValueError when the ref is none of ours."""
        receipt = report.receipt
        told = StatusReport(
            msg_id=id_of(receipt.ref),
            stat=write_stat(receipt.state, receipt.error),
            submit_time=write_short(report.submitted_at),
            done_time=write_short(receipt.at),
            dest_terminal_id=report.source,
        )
        return Deliver(
            msg_id=msg_id,
            dest_id=self._number(report.destination),
            src_terminal_id=report.source,
            content=write_report(told, version),
            registered_delivery=1,
            service_id=self.link.service,
        )

    def _number(self, number: str) -> str:
        """A real number as ``number_format`` says: 138… or 86138…; CMPP writes no plus."""
        digits = number.removeprefix("+")
        return digits[2:] if self.link.number_format == "national" and digits.startswith("86") else digits
