"""SMPP 3.4's command_status (§5.1.3): what we answer for each reason, and what a peer's means to us."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from qibai.core.messages import MessageReason
from qibai.messaging.link import NotNow, Rejected, SubmitError


class Status(IntEnum):
    """The statuses that we send or tell apart."""

    ROK = 0x00
    RINVMSGLEN = 0x01
    RINVCMDLEN = 0x02
    RINVCMDID = 0x03
    RINVBNDSTS = 0x04
    RALYBND = 0x05
    RSYSERR = 0x08
    RINVSRCADR = 0x0A
    RINVDSTADR = 0x0B
    RBINDFAIL = 0x0D
    RCANCELFAIL = 0x11
    RREPLACEFAIL = 0x13
    RMSGQFUL = 0x14
    RINVESMCLASS = 0x43
    RSUBMITFAIL = 0x45
    RINVREPFLAG = 0x54
    RTHROTTLED = 0x58
    RINVSCHED = 0x61
    RINVEXPIRY = 0x62
    RX_T_APPN = 0x64  #: only to a deliver_sm: for a while
    RX_P_APPN = 0x65  #: only to a deliver_sm: for good
    RX_R_APPN = 0x66  #: only to a deliver_sm: this message is refused
    RQUERYFAIL = 0x67
    RINVOPTPARSTREAM = 0xC0
    RINVPARLEN = 0xC2
    RINVOPTPARAMVAL = 0xC4
    RUNKNOWNERR = 0xFF


#: To a submit_sm. A limit of rates is final (the message has its record), so it is not RTHROTTLED, after
#: which a peer would send the same again.
_ANSWER: Final[Mapping[MessageReason, Status]] = {
    MessageReason.NOT_BOUND: Status.RINVDSTADR,
    MessageReason.ORDER_ENDED: Status.RINVDSTADR,
    MessageReason.NOT_A_PARTY: Status.RINVSRCADR,
    MessageReason.CALLER_UNKNOWN: Status.RINVSRCADR,
    MessageReason.NUMBER_MALFORMED: Status.RINVDSTADR,
    MessageReason.POLICY: Status.RSUBMITFAIL,
    MessageReason.STORE_UNAVAILABLE: Status.RSYSERR,
    MessageReason.DIRECTION: Status.RSUBMITFAIL,
    MessageReason.CONTENT: Status.RSUBMITFAIL,
    MessageReason.RATE: Status.RSUBMITFAIL,
    MessageReason.MALFORMED: Status.RINVMSGLEN,
    MessageReason.OVERLOADED: Status.RMSGQFUL,
    MessageReason.PEER_REJECTED: Status.RSUBMITFAIL,
    MessageReason.VALIDITY_OVER: Status.RINVEXPIRY,
    MessageReason.PARTS_MISSING: Status.RSUBMITFAIL,
    MessageReason.NO_RECEIPT: Status.RUNKNOWNERR,
}

#: A message centre gives up on a deliver_sm at most statuses, and knows three for what a receiver wants.
_TO_DELIVER: Final[Mapping[Status, Status]] = {
    Status.RSYSERR: Status.RX_T_APPN,
    Status.RMSGQFUL: Status.RX_T_APPN,
    Status.RSUBMITFAIL: Status.RX_R_APPN,
    Status.RUNKNOWNERR: Status.RX_P_APPN,
}

#: Seconds to wait; None: the gateway's own back-off. Not taken, perhaps later or through another link.
_NOT_NOW: Final[Mapping[int, float | None]] = {
    Status.RINVBNDSTS: None,  # its session is not what we think; a new one will be
    Status.RSYSERR: None,
    Status.RMSGQFUL: 5.0,
    Status.RTHROTTLED: 1.0,
    Status.RX_T_APPN: None,
}


def answer_for(reason: MessageReason, *, delivered: bool) -> Status:
    """What a peer hears; ``delivered``: in answer to a deliver_sm instead of a submit_sm."""
    status = _ANSWER[reason]
    return _TO_DELIVER.get(status, status) if delivered else status


def failure(status: int) -> SubmitError:
    """What a peer's status means for the part that it answers. Every status but ROK is one or the other."""
    if status in _NOT_NOW:
        return NotNow(_NOT_NOW[status])
    return Rejected(f"{status:08X}")
