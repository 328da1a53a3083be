"""rtpengine as Kamailio's module asks it, by workers that do not wait for it while it is silent.

The module waits half a second for each command. So if rtpengine hangs, every worker would wait for it in each
call, and soon no message would be answered at all. Therefore the first command without an answer marks it as
away, for all workers. While it is away they ask it nothing; now and then one of them looks.
"""

import time
from typing import Final

from qibai.voice.ksr import Ksr, MediaCommand
from qibai.voice.mediacheck import answers
from qibai.voice.shared import CallMemory

AWAY_S: Final = 2.0  #: between looks whether rtpengine answers again
#: rtpengine knows no such call, and the module not either: so it looks for an rtpengine that is there.
_NO_CALL: Final = "call-id=awake from-tag=a"


class Relay:
    """The rtpengine of this machine."""

    def __init__(self, ksr: Ksr, memory: CallMemory, control_port: int) -> None:
        self._ksr = ksr
        self._memory = memory
        self._port = control_port

    def ask(self, command: MediaCommand, flags: str) -> bool:
        """Give rtpengine an ``offer``, ``answer`` or ``delete``; returns whether it did what it was asked.

        If it does not answer, this takes 0.7 s at most, and no time at all while it is away.
        """
        if self.is_away():
            return False
        if self._run(command, flags):
            return True
        if not answers(self._port):
            self._mark()
            return False
        # It refuses; or it was away for a moment, and the module would not ask it of calls that it has.
        self._wake()
        return self._run(command, flags)

    def _run(self, command: MediaCommand, flags: str) -> bool:
        module = self._ksr.rtpengine
        match command:
            case "offer":
                return module.rtpengine_offer(flags) >= 0
            case "answer":
                return module.rtpengine_answer(flags) >= 0
            case "delete":
                return module.rtpengine_delete(flags) >= 0

    def is_away(self) -> bool:
        """Whether rtpengine has not answered lately; once in ``AWAY_S`` a worker looks."""
        until = self._memory.media_away_until()
        if until is None:
            return False
        if time.monotonic() < until:
            return True
        self._mark()  # before it looks: the other workers need not look as well
        if not answers(self._port):
            return True
        self._memory.media_is_back()
        self._wake()
        return False

    def _mark(self) -> None:
        self._memory.media_is_away(time.monotonic() + AWAY_S)

    def _wake(self) -> None:
        """Have the module look at an rtpengine that it has given up.

        It does so only for calls that are new to it; for others it would fail until the next one.
        """
        self._ksr.rtpengine.rtpengine_delete(_NO_CALL)
