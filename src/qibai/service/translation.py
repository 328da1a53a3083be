"""The decision for those who wait with ``await``, and what follows from it: whom to call, what to show."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from qibai.config import Config
from qibai.core.existing import Dialled
from qibai.core.numbering import Msisdn
from qibai.core.routing import Decision, Refusal
from qibai.service.decision import Decider
from qibai.store.keys import Keyring


class Translated(NamedTuple):
    """Where a call goes: connect it to ``callee``, who sees ``shown``, for at most ``max_call_s`` seconds."""

    callee: Msisdn
    shown: Dialled
    max_call_s: int


class Translator:
    """Decides for those who wait with ``await``: a ``Decider`` in a thread of its own, with its own keyring.

    Every method raises StoreUnavailable.
    """

    def __init__(self, config: Config) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="translate")
        self._decider = Decider(config, Keyring.load(config.key_file))

    async def decide(self, called: Dialled | None, caller: Msisdn | None) -> Decision:
        """The decision of now."""
        loop = asyncio.get_running_loop()
        return (await loop.run_in_executor(self._thread, self._decider.decide, called, caller)).decision

    async def translate(self, called: Dialled | None, caller: Msisdn | None) -> Translated | Refusal:
        """Decide as for a call that a network is about to connect, real number included.

        Where a member of a group calls B, B's calls to the group reach that member from now on.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._translate, called, caller)

    def close(self) -> None:
        """Close the session once the thread is idle."""
        self._thread.submit(self._decider.close)
        self._thread.shutdown(wait=True)

    def _translate(self, called: Dialled | None, caller: Msisdn | None) -> Translated | Refusal:
        decision = self._decider.decide(called, caller).decision
        if isinstance(decision, Refusal):
            return decision
        record, routes = decision.record, self._decider.routes
        if record.from_group:
            routes.touch_group(record)
        return Translated(routes.open_callee(record), record.shown, decision.max_call_s)
