"""Records of refused calls: whether there is to be one, and those of INVITEs refused before a decision."""

import hashlib
import time
from typing import Final

from qibai.core.existing import Dialled
from qibai.core.numbering import Msisdn
from qibai.core.refusals import EARLY_STATUS, EarlyRefusal
from qibai.core.routing import SipStatus
from qibai.core.sip import Message, caller_identity, dialled_in, phrase
from qibai.voice.ksr import Ksr
from qibai.voice.refusalrate import STRANGERS
from qibai.voice.variables import CALL_ID, CSEQ, FROM_TAG, METHOD, REQUEST_URI, SOURCE_ADDRESS, TO_TAG
from qibai.voice.worker import Worker

#: A request that is refused without a transaction is sent again for so long (RFC 3261, timer B).
_REPEATED_S: Final = 32


def may_record(worker: Worker, source: str, *, stranger: bool = False) -> bool:
    """Returns True if a refused call gets a record; otherwise it is counted here."""
    if worker.refusals.admits(source, time.monotonic(), stranger=stranger):
        return True
    worker.losses.add("refusals_unrecorded")
    if worker.refusals.tells(STRANGERS if stranger else source):
        who = f"strangers (now {source})" if stranger else f"peer {source}"
        worker.ksr.warn(f"refused calls of {who} get no record for this minute: there are too many\n")
    return False


def note_early(
    worker: Worker,
    reason: EarlyRefusal,
    source: str,
    *,
    request: Message | None = None,
    stranger: bool = False,
    status: int = 0,
) -> None:
    """Record that the first INVITE of a call was refused; it never raises, and never hinders an answer.

    ``source``: the peer's name, or the address of a sender that is no peer. ``request``: the INVITE, where it
    could be read. Who a stranger says to be is not kept. ``status``: the answer, where it is not the usual.
    """
    try:
        pv = worker.ksr.pv
        if pv.get(METHOD) != "INVITE" or pv.get(TO_TAG):
            return
        if not worker.memory.is_first(_identity(worker.ksr), _REPEATED_S):
            return
        if not worker.ledger.has_room():
            worker.losses.add("refusals_unrecorded")
            return
        if may_record(worker, source, stranger=stranger):
            called: Dialled | None = dialled_in(request.uri if request else pv.gete(REQUEST_URI))
            caller: Msisdn | None = None
            if request is not None and not stranger:
                caller = caller_identity(request, trust_asserted=True)
            sip = EARLY_STATUS[reason]
            if status:
                sip = SipStatus(status, phrase(status), sip.q850)
            worker.ledger.refused_early(
                worker.call_ids.new(),
                time.time(),
                called=called,
                caller=caller,
                reason=reason,
                sip=sip,
                source=source,
            )
    except Exception as exc:
        worker.ksr.err(f"a refused call has no record: {type(exc).__name__}\n")


def _identity(ksr: Ksr) -> str:
    parts = "\n".join(map(ksr.pv.gete, (CALL_ID, FROM_TAG, CSEQ, SOURCE_ADDRESS)))
    return hashlib.blake2s(parts.encode("utf-8", "replace"), digest_size=12).hexdigest()
