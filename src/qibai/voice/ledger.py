"""Call events: what happened to a call, written to the spool as it happens."""

import time
from typing import Any, Final

import msgspec

from qibai.core.errors import QibaiError
from qibai.core.events import CallEvent, CallEventKind
from qibai.core.existing import Dialled, ExistingNumber
from qibai.core.legs import Leg, Legs
from qibai.core.numbering import Msisdn
from qibai.core.routing import Refusal, Route, RouteRecord, SipStatus
from qibai.store.keys import Keyring, binding_aad
from qibai.store.spool import SpoolWriter
from qibai.voice.token import DialogState

#: What a final SIP status says of a call that was not answered: (reason, Q.850 cause).
_FAILURES: Final = {
    403: ("rejected", 21),
    404: ("unreachable", 1),
    408: ("no_answer", 19),
    410: ("unreachable", 22),
    480: ("no_answer", 19),
    484: ("unreachable", 28),
    486: ("busy", 17),
    487: ("cancelled", 16),
    488: ("rejected", 88),
    500: ("unreachable", 41),
    502: ("unreachable", 38),
    503: ("unreachable", 41),
    504: ("unreachable", 102),
    600: ("busy", 17),
    603: ("rejected", 21),
    604: ("unreachable", 1),
}


def failure_of(status: int) -> tuple[str, int]:
    """(reason, Q.850 cause) of a final failure status, 300 … 699."""
    return _FAILURES.get(status, ("unreachable", 127) if status < 600 else ("rejected", 21))


class Ledger:
    """Writes the events of one worker."""

    def __init__(self, spool: SpoolWriter, keyring: Keyring, node: str) -> None:
        self._spool = spool
        self._keyring = keyring
        self._node = node

    def has_room(self) -> bool:
        """Returns True if the records of new calls can be kept."""
        return self._spool.has_room()

    def decided(self, call_id: int, at: float, route: Route) -> None:
        """A call was let through."""
        record = route.record
        called = record.called
        self._append(
            CallEvent(
                kind=CallEventKind.DECIDED,
                code=record.code,
                call_id=call_id,
                at=at,
                node=self._node,
                tenant_id=record.tenant_id,
                binding_id=record.binding_id,
                called=_serial(called),
                shown=_serial(record.shown),
                dialled=self._old(called, record),
                caller=record.caller_sealed,
                callee=record.callee_sealed,
                max_call_s=route.max_call_s,
            )
        )

    def refused(
        self,
        call_id: int,
        at: float,
        *,
        called: Dialled | None,
        caller: Msisdn | None,
        record: RouteRecord | None,
        refusal: Refusal,
        sip: SipStatus,
    ) -> None:
        """A call was refused; ``caller`` and ``record`` where they are known."""
        code = -1 if called is None or isinstance(called, ExistingNumber) else called.code.value
        sealed = None
        if record is not None:
            code, sealed = record.code, record.caller_sealed
        elif caller is not None:
            try:
                sealed = self._keyring.seal(caller.e164, binding_aad(code, call_id))
            except QibaiError:  # without keys the record still says that a call was refused
                sealed = None
        self._append(
            CallEvent(
                kind=CallEventKind.DECIDED,
                code=code,
                call_id=call_id,
                at=at,
                node=self._node,
                tenant_id=record.tenant_id if record else None,
                binding_id=record.binding_id if record else None,
                called=_serial(called),
                dialled=self._old(called, record),
                caller=sealed,
                sip_status=sip.status,
                q850=sip.q850,
                reason=refusal.rule or refusal.reason.value,
                ended_by="platform",
            )
        )

    def ringing(self, state: DialogState) -> None:
        self._note(CallEventKind.RINGING, state)

    def answered(self, state: DialogState, legs: Legs, session_expires: int | None) -> None:
        self._note(
            CallEventKind.ANSWERED,
            state,
            legs=self._sealed(state, legs),
            session_expires=session_expires,
            media_id=state.media_id or None,
            max_call_s=state.max_call_s,
        )

    def late(self, state: DialogState, asker: Leg, reason: str | None = None) -> None:
        """An answer was not passed on: acknowledge it and hang up on it; for ``reason`` end the call too."""
        self._note(CallEventKind.LATE, state, legs=self._sealed(state, asker), reason=reason)

    def refreshed(self, state: DialogState, legs: Legs, session_expires: int | None) -> None:
        """The session goes on, and its parties may be reached elsewhere than before."""
        sealed = self._sealed(state, legs)
        self._note(CallEventKind.REFRESHED, state, legs=sealed, session_expires=session_expires)

    def ended(self, state: DialogState, *, by: str, reason: str, status: int | None, q850: int) -> None:
        self._note(CallEventKind.ENDED, state, ended_by=by, reason=reason, sip_status=status, q850=q850)

    def _note(self, kind: CallEventKind, state: DialogState, **more: Any) -> None:
        """Something that happens now, to a call that was decided; ``more``: fields of the event."""
        at = time.time()
        self._append(
            CallEvent(kind=kind, code=state.code, call_id=state.call_id, at=at, node=self._node, **more)
        )

    def _sealed(self, state: DialogState, legs: Legs | Leg) -> bytes:
        text = msgspec.json.encode(legs).decode()
        return self._keyring.seal(text, binding_aad(state.code, state.call_id))

    def _old(self, called: Dialled | None, record: RouteRecord | None) -> bytes | None:
        """An old number that was dialled, sealed; it has no place of its own in a record."""
        if record is None or not isinstance(called, ExistingNumber):
            return None
        try:
            return self._keyring.seal(called.e164, binding_aad(record.code, record.binding_id))
        except QibaiError:  # as above
            return None

    def _append(self, event: CallEvent) -> None:
        self._spool.append(event)


def _serial(number: Dialled | None) -> int | None:
    return None if number is None or isinstance(number, ExistingNumber) else number.serial
