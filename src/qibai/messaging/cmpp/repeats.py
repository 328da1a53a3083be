"""A request that a peer sends again, since no answer reached it in time, gets the answer of the first."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from qibai.messaging.cmpp.status import Result
from qibai.messaging.stream.session import BadPdu

_KEPT: Final = 1_024  #: requests; each at most wire.MAX_PDU octets
_KEPT_S: Final = 300.0  #: longer than a peer tries: three times, every T = 60 s


class Repeats:
    """Of one connection. A repeat is the same octets, Sequence_Id included."""

    def __init__(self) -> None:
        self._answers: OrderedDict[bytes, tuple[float, asyncio.Future[bytes]]] = OrderedDict()

    async def once(self, frame: bytes, answer: Callable[[], Awaitable[bytes]]) -> bytes:
        """The answer to ``frame``, made once. After a failure, or a refusal for now, it is made again."""
        now = asyncio.get_running_loop().time()
        while self._answers:
            oldest, (since, _) = next(iter(self._answers.items()))
            if now - since < _KEPT_S and len(self._answers) < _KEPT:
                break
            del self._answers[oldest]
        known = self._answers.get(frame)
        if known is None:
            known = now, asyncio.ensure_future(answer())
            self._answers[frame] = known
        try:
            return await asyncio.shield(known[1])
        except Exception as exc:
            if isinstance(exc, BadPdu) and exc.status != Result.FLOW:
                raise
            self._answers.pop(frame, None)
            raise
