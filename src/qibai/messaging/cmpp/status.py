"""CMPP's results: what we answer for each reason, what a peer's mean to us, and the words of reports."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from qibai.core.messages import MessageReason, MessageState
from qibai.messaging.link import NotNow, Rejected, SubmitError
from qibai.messaging.stream.outcomes import Outcome, error_of, outcome_of


class Result(IntEnum):
    """``Result`` of Submit_Resp and Deliver_Resp. 2.0 ends with 9 (other errors); so does Deliver_Resp."""

    OK = 0
    STRUCTURE = 1  #: 消息结构错
    COMMAND = 2  #: 命令字错
    SEQUENCE = 3  #: 消息序号重复
    LENGTH = 4  #: 消息长度错
    FEE_CODE = 5  #: 资费代码错
    TOO_LONG = 6  #: 超过最大信息长
    SERVICE = 7  #: 业务代码错
    FLOW = 8  #: 流量控制错
    OTHER = 9  #: 2.0 and Deliver_Resp: 其他错误; 3.0's Submit_Resp: 本网关不负责服务此计费号码
    SOURCE = 10  #: Src_Id 错误
    MSG_SRC = 11  #: Msg_src 错误
    FEE_TERMINAL = 12  #: Fee_terminal_Id 错误
    DESTINATION = 13  #: Dest_terminal_Id 错误


class ConnectStatus(IntEnum):
    """``Status`` of Connect_Resp."""

    OK = 0
    STRUCTURE = 1  #: 消息结构错
    SOURCE = 2  #: 非法源地址
    AUTHENTICATION = 3  #: 认证错
    VERSION = 4  #: 版本太高
    OTHER = 5


#: To a Submit. Only FLOW makes a peer send the same again; a limit of rates is final (the message has its
#: record), so it is another.
_ANSWER: Final[Mapping[MessageReason, Result]] = {
    MessageReason.NOT_BOUND: Result.DESTINATION,
    MessageReason.ORDER_ENDED: Result.DESTINATION,
    MessageReason.NOT_A_PARTY: Result.SOURCE,
    MessageReason.CALLER_UNKNOWN: Result.SOURCE,
    MessageReason.NUMBER_MALFORMED: Result.DESTINATION,
    MessageReason.POLICY: Result.SERVICE,
    MessageReason.STORE_UNAVAILABLE: Result.FLOW,
    MessageReason.DIRECTION: Result.SERVICE,
    MessageReason.CONTENT: Result.SERVICE,
    MessageReason.RATE: Result.SERVICE,
    MessageReason.MALFORMED: Result.STRUCTURE,
    MessageReason.OVERLOADED: Result.FLOW,
    MessageReason.PEER_REJECTED: Result.OTHER,
    MessageReason.VALIDITY_OVER: Result.OTHER,
    MessageReason.PARTS_MISSING: Result.STRUCTURE,
    MessageReason.NO_RECEIPT: Result.OTHER,
}
_FLOW_WAIT_S: Final = 1.0

_TOLD: Final[Mapping[MessageState, str]] = {
    MessageState.DELIVERED: "DELIVRD",
    MessageState.EXPIRED: "EXPIRED",
    MessageState.REJECTED: "REJECTD",
    MessageState.UNKNOWN: "UNKNOWN",
    MessageState.QUEUED: "ACCEPTD",
    MessageState.SENT: "ACCEPTD",
}


def answer_for(reason: MessageReason, *, delivered: bool) -> Result:
    """What a peer hears; ``delivered``: in answer to a Deliver, whose results end with 9."""
    result = _ANSWER[reason]
    return min(result, Result.OTHER) if delivered else result


def failure(result: int) -> SubmitError:
    """What a peer's result means for the part that it answers; every result but OK is one or the other."""
    return NotNow(_FLOW_WAIT_S) if result == Result.FLOW else Rejected(str(result))


def read_stat(stat: str) -> Outcome | None:
    """What a report says; None if its ``Stat`` is empty. A word that nobody knows is a network's error."""
    word = stat.strip(" \0").upper()
    found = outcome_of(word)
    error = error_of(word)
    return found or (Outcome(MessageState.REJECTED, error) if error else None)


def write_stat(state: MessageState, error: str) -> str:
    """Seven characters; a rejection with the network's own error, if that has its form (MA0001: MA:0001)."""
    if state is MessageState.REJECTED and len(error) == 6 and error[:2].isalpha():
        return f"{error[:2]}:{error[2:]}"
    return _TOLD[state]
