"""Messages that a peer did not answer in time, by Call-ID: its late answer settles the doubt."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from qibai.core.badge import Badge
from qibai.messaging.link import InDoubt, Outgoing
from qibai.messaging.sip_status import failure_of
from qibai.sip_client import Reply

MAX_DOUBTS: Final = 50_000


@dataclass(slots=True)
class Asked:
    """A message that went out. A late answer is to the message, whichever of its copies it answers."""

    outgoing: Outgoing
    message_id: str  #: that a notification would name
    peer: str  #: who was silent, where that is known
    heard: set[str] = field(default_factory=set)  #: copies whose late answer came


class LateReplies:
    """Those of one link. They are forgotten when the gateway ends."""

    def __init__(self) -> None:
        self._asked: OrderedDict[str, Asked] = OrderedDict()
        self.late = 0  #: answers that came after their time

    def put(self, call_id: str, asked: Asked) -> None:
        known = self._asked.pop(call_id, None)
        if known is not None:
            asked.heard = known.heard
        self._asked[call_id] = asked
        if len(self._asked) > MAX_DOUBTS:
            self._asked.popitem(last=False)

    def drop(self, call_id: str) -> None:
        """It was answered in time."""
        self._asked.pop(call_id, None)

    def silent(self, call_id: str) -> str:
        """The peer that did not answer the first copy; empty: nobody was silent, or nobody knows who."""
        asked = self._asked.get(call_id)
        return asked.peer if asked is not None else ""

    def answered(self, badge: Badge) -> None:
        """Kamailio got a peer's final answer after it had reported a time-out to us."""
        asked = self._asked.get(badge.message_id)
        if asked is None or badge.source in asked.heard:
            return
        asked.heard.add(badge.source)
        self.late += 1
        status = int(badge.state)
        if status >= 300:
            failure = failure_of(Reply("", status))
            if not isinstance(failure, InDoubt):
                asked.outgoing.late(failure)
            return
        del self._asked[badge.message_id]
        asked.outgoing.late(asked.message_id if status == 202 else "")
