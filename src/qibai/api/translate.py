"""The routing decision for networks that ask: the same read and the same rule as in a call."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from qibai.api import models
from qibai.config import Config
from qibai.core.errors import BadNumber
from qibai.core.existing import Dialled, read_dialled
from qibai.core.numbering import Msisdn
from qibai.core.pilot import document_of
from qibai.core.routing import Decision, Refusal, RefusalReason
from qibai.store import dsn, read_dsn
from qibai.store.keys import Keyring
from qibai.store.routes import RouteReader


class Translator:
    """Asks the store in a thread of its own, as the reader is synchronous; shares no keyring."""

    def __init__(self, config: Config) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="translate")
        self._reader = RouteReader(
            read_dsn(config),
            Keyring.load(config.key_file),
            config.store.statement_timeout_ms,
            write_dsn=dsn(config),
        )
        self._policy = self._reader.policy(config.pilot.rules)

    async def decide(self, called: Dialled, caller: Msisdn) -> Decision:
        """The decision by the record of today. Raise StoreUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._decide, called, caller)

    async def translate(self, request: models.TranslationRequest) -> models.Translation:
        """The decision. Raise StoreUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._translate, request)

    def close(self) -> None:
        """Close the connection once the thread is idle."""
        self._thread.submit(self._reader.close)
        self._thread.shutdown(wait=True)

    def _translate(self, request: models.TranslationRequest) -> models.Translation:
        try:
            called = read_dialled(request.called)
        except BadNumber:
            return _refused(Refusal(RefusalReason.NUMBER_MALFORMED))
        try:
            caller = Msisdn.parse(request.caller)
        except BadNumber:
            return _refused(Refusal(RefusalReason.CALLER_UNKNOWN))
        decision = self._decide(called, caller)
        if isinstance(decision, Refusal):
            return _refused(decision)
        if decision.record.from_group:
            self._reader.touch_group(decision.record)
        return models.Translation(
            decision="connect",
            callee=self._reader.open_callee(decision.record).e164,
            shown=str(decision.record.shown),
            max_call_s=decision.max_call_s,
        )

    def _decide(self, called: Dialled, caller: Msisdn) -> Decision:
        return self._reader.look(called, caller).decide(called, caller, self._policy)


def _refused(refusal: Refusal) -> models.Translation:
    sip = refusal.sip
    return models.Translation(
        decision="refuse",
        reason=refusal.reason.value,
        rule=refusal.rule,
        document=document_of(refusal.rule),
        sip_status=sip.status,
        phrase=sip.phrase,
        q850=sip.q850,
    )
