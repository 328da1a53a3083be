"""Call events: what happened to a call, written to the spool as it happens."""

import time
from typing import Any, Final

import msgspec

from qibai.core.errors import QibaiError
from qibai.core.events import CallEvent, CallEventKind, EndReason
from qibai.core.existing import Dialled, ExistingNumber
from qibai.core.legs import Leg, Legs
from qibai.core.numbering import Msisdn
from qibai.core.refusals import EarlyRefusal
from qibai.core.routing import Refusal, Route, RouteRecord, SipStatus
from qibai.store.keys import Keyring, binding_aad
from qibai.store.spool import SpoolWriter
from qibai.voice.token import DialogState

#: What a final SIP status says of a call that was not answered: (reason, Q.850 cause), as RFC 3398 §8.2.6.1
#: maps them where it says a cause.
_FAILURES: Final = {
    400: (EndReason.REJECTED, 41),
    401: (EndReason.REJECTED, 21),
    402: (EndReason.REJECTED, 21),
    403: (EndReason.REJECTED, 21),
    404: (EndReason.UNREACHABLE, 1),
    405: (EndReason.REJECTED, 63),
    406: (EndReason.REJECTED, 79),
    407: (EndReason.REJECTED, 21),
    408: (EndReason.NO_ANSWER, 19),
    410: (EndReason.UNREACHABLE, 22),
    413: (EndReason.REJECTED, 127),
    414: (EndReason.REJECTED, 127),
    415: (EndReason.REJECTED, 79),
    416: (EndReason.REJECTED, 127),
    420: (EndReason.REJECTED, 127),
    421: (EndReason.REJECTED, 127),
    422: (EndReason.REJECTED, 127),
    480: (EndReason.NO_ANSWER, 19),
    481: (EndReason.UNREACHABLE, 41),
    482: (EndReason.UNREACHABLE, 25),
    483: (EndReason.UNREACHABLE, 25),
    484: (EndReason.UNREACHABLE, 28),
    485: (EndReason.UNREACHABLE, 1),
    486: (EndReason.BUSY, 17),
    487: (EndReason.CANCELLED, 16),
    488: (EndReason.REJECTED, 88),
    493: (EndReason.REJECTED, 21),
    494: (EndReason.REJECTED, 21),
    500: (EndReason.UNREACHABLE, 41),
    501: (EndReason.UNREACHABLE, 79),
    502: (EndReason.UNREACHABLE, 38),
    503: (EndReason.UNREACHABLE, 41),
    504: (EndReason.UNREACHABLE, 102),
    600: (EndReason.BUSY, 17),
    603: (EndReason.REJECTED, 21),
    604: (EndReason.UNREACHABLE, 1),
    606: (EndReason.REJECTED, 88),
    607: (EndReason.REJECTED, 21),
    608: (EndReason.REJECTED, 21),
}
#: A peer that redirects a call names another place, where Qibai does not follow.
_REDIRECTED: Final = (EndReason.REDIRECTED, 23)


def failure_of(status: int) -> tuple[EndReason, int]:
    """(reason, Q.850 cause) of a final failure status, 300 … 699."""
    if status < 400:
        return _REDIRECTED
    return _FAILURES.get(status, (EndReason.UNREACHABLE, 127) if status < 600 else (EndReason.REJECTED, 21))


class Ledger:
    """Writes the events of one worker."""

    def __init__(self, spool: SpoolWriter, keyring: Keyring, node: str) -> None:
        self._spool = spool
        self._keyring = keyring
        self._node = node

    def has_room(self) -> bool:
        """Returns True if the records of new calls can be kept."""
        return self._spool.has_room()

    def decided(self, call_id: int, at: float, route: Route, caller_peer: str) -> None:
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
                caller_peer=caller_peer,
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
        caller_peer: str,
    ) -> None:
        """A call was refused; ``caller`` and ``record`` where they are known."""
        code, sealed = _code(called), None
        if record is not None:
            code, sealed = record.code, record.caller_sealed
        elif caller is not None:
            sealed = self._stranger(caller, code, call_id)
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
                caller_peer=caller_peer,
            )
        )

    def refused_early(
        self,
        call_id: int,
        at: float,
        *,
        called: Dialled | None,
        caller: Msisdn | None,
        reason: EarlyRefusal,
        sip: SipStatus,
        source: str,
    ) -> None:
        """An INVITE was refused before a decision; ``source``: its peer, or its sender's address."""
        code = _code(called)
        self._append(
            CallEvent(
                kind=CallEventKind.REFUSED,
                code=code,
                call_id=call_id,
                at=at,
                node=self._node,
                called=_serial(called),
                caller=None if caller is None else self._stranger(caller, code, call_id),
                sip_status=sip.status,
                q850=sip.q850,
                reason=reason.value,
                ended_by="platform",
                caller_peer=source,
            )
        )

    def handed_on(self, state: DialogState, status: int) -> None:
        """The peer of ``state`` failed the call with ``status``, and the next peer gets it."""
        self._note(CallEventKind.HANDED_ON, state, gave_up=f"{status} {state.callee_peer}")

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
            callee_peer=state.callee_peer or None,
        )

    def late(self, state: DialogState, asker: Leg, reason: str | None = None) -> None:
        """An answer was not passed on: acknowledge it and hang up on it; for ``reason`` end the call too."""
        self._note(CallEventKind.LATE, state, legs=self._sealed(state, asker), reason=reason)

    def refreshed(self, state: DialogState, legs: Legs, session_expires: int | None) -> None:
        """The session goes on, and its parties may be reached elsewhere than before."""
        sealed = self._sealed(state, legs)
        self._note(CallEventKind.REFRESHED, state, legs=sealed, session_expires=session_expires)

    def ended(self, state: DialogState, *, by: str, reason: str, status: int, q850: int) -> None:
        """``status`` ended the call before its answer."""
        peer = state.callee_peer or None
        self._note(
            CallEventKind.ENDED,
            state,
            ended_by=by,
            reason=reason,
            sip_status=status,
            q850=q850,
            callee_peer=peer,
        )

    def hung_up(self, state: DialogState, *, by: str, talked_ms: int | None) -> None:
        """A BYE ended the call. ``talked_ms``: since its answer; None when that is not known."""
        peer = state.callee_peer or None
        self._note(
            CallEventKind.ENDED,
            state,
            ended_by=by,
            reason=EndReason.ANSWERED,
            q850=16,
            callee_peer=peer,
            talked_ms=talked_ms,
        )

    def _note(self, kind: CallEventKind, state: DialogState, **more: Any) -> None:
        """Something that happens now, to a call that was decided; ``more``: fields of the event."""
        at = time.time()
        self._append(
            CallEvent(kind=kind, code=state.code, call_id=state.call_id, at=at, node=self._node, **more)
        )

    def _stranger(self, caller: Msisdn, code: int, call_id: int) -> bytes | None:
        """The number of a caller who has no binding, sealed under the call's own id."""
        try:
            return self._keyring.seal(caller.e164, binding_aad(code, call_id))
        except QibaiError:  # without keys the record still says that a call was refused
            return None

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


def _code(number: Dialled | None) -> int:
    return -1 if number is None or isinstance(number, ExistingNumber) else number.code.value


def _serial(number: Dialled | None) -> int | None:
    return None if number is None or isinstance(number, ExistingNumber) else number.serial
