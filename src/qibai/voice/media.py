"""rtpengine: an offer or answer goes in, the same comes out with our own address for media.

The two sides are ``a`` (the caller's) and ``b`` (the callee's): no tag of theirs reaches rtpengine.
"""

from typing import Final

import msgspec

from qibai.core.errors import BadMessage
from qibai.core.sip import CleanSdp, clean_sdp
from qibai.core.sip.agreed import has_common_codec
from qibai.core.sip.sdp import has_open_media
from qibai.voice.ksr import Ksr, MediaCommand
from qibai.voice.mediacheck import refuses
from qibai.voice.relay import Relay
from qibai.voice.shared import CallMemory
from qibai.voice.token import DialogState
from qibai.voice.variables import SDP_IN, SDP_OUT

#: Under these names both sides' descriptions are noted: as agreed, and as offered and not answered yet.
_NOTES: Final = ("a", "b", "a?", "b?")

#: ``strict-source``: what comes from any address but a side's own is dropped.
_FLAGS: Final = "strict-source replace-origin replace-session-connection ICE=remove trust-address"
#: Which address is a side's own. rtpengine applies these flags to the side whose description it is shown.
#: ``asymmetric`` would not do: since version 12 it takes the source of the first packet, whoever sent it.
_DESCRIBED: Final = "endpoint-learning-off"
_FIRST: Final = "endpoint-learning-immediate"
#: Where both sides' addresses are learnt, an address for RTCP is as well: then no report passes as it came.
_OWN_RTCP: Final = "generate-RTCP"

#: A call, and the two sides in the order of offer and answer. It never leaves this node's memory.
_OWED: Final = msgspec.json.Decoder(tuple[DialogState, str, str])


class MediaUnavailable(Exception):
    """rtpengine does not answer."""


class MediaRefused(BadMessage):
    """The media relay answers, but cannot use this session description."""

    def __init__(self) -> None:
        super().__init__("the media relay cannot use the session description", status=488)


class Media:
    """One call's media, through Kamailio's rtpengine module; or, with media off, through no one."""

    def __init__(
        self,
        ksr: Ksr,
        host: str,
        memory: CallMemory,
        *,
        anchored: bool,
        rtp_only: bool = False,
        control_port: int = 2223,
    ) -> None:
        self._control_port = control_port
        self._rtp_only = rtp_only
        self._ksr = ksr
        self._memory = memory
        self._relay = Relay(ksr, memory, control_port)
        self._host = host
        self.anchored = anchored
        #: Names of the peers whose media address is that of their first packet, not the described address.
        self.learnt_peers: frozenset[str] = frozenset()

    def offer(self, text: str, state: DialogState, *, from_caller: bool, salt: str) -> CleanSdp:
        """Raise MediaUnavailable, or BadMessage for a description that is none or cannot be used."""
        side, other = ("a", "b") if from_caller else ("b", "a")
        try:
            clean, seen = self._pass("offer", text, self._flags(state, side, other), salt)
        except MediaUnavailable:  # one that hangs finds the offer later, which nobody was shown
            self._restore(state, side, other)
            raise
        if seen:
            self._memory.note(state.call_id, f"{side}?", seen)
            self._memory.not_owed(state.call_id, side)
        return clean

    def answer(self, text: str, state: DialogState, *, offered_by_caller: bool, salt: str) -> CleanSdp:
        """Raise MediaUnavailable, or BadMessage for a description that is none or cannot be used.

        An offer may be answered several times and differently: by a forked 183, then by the 2xx. Each answer
        chooses among all that was offered. rtpengine keeps to what the first answer chose, so it is shown the
        offer again before an answer that differs.
        """
        side, other = ("a", "b") if offered_by_caller else ("b", "a")
        offered = self._memory.look(state.call_id, f"{side}?")
        agreed = self._memory.look(state.call_id, side) if offered is None else None
        if agreed is not None and self._before(text, salt) != self._memory.look(state.call_id, other):
            self._offer_again(agreed, state, side, other)
            offered = agreed
        clean, seen = self._pass("answer", text, self._flags(state, side, other, answer=True), salt)
        if not has_common_codec(seen, clean):  # rtpengine has put the offer's codecs there
            raise BadMessage("an answer without a codec of the offer", status=488)
        if seen and offered is not None:
            self._memory.note(state.call_id, side, offered)
            self._memory.note(state.call_id, other, seen)
            self._memory.drop(state.call_id, f"{side}?")
        return clean

    def take_back(self, state: DialogState, *, from_caller: bool) -> None:
        """Undo an offer that was not accepted: the session stays as it was agreed before (RFC 3264 §8).

        rtpengine sends media to the offered address from the offer on, and knows no word for "refused": it is
        offered what was agreed before. Does nothing when the offer was answered, or was the first.
        """
        side, other = ("a", "b") if from_caller else ("b", "a")
        if not self.anchored or self._memory.look(state.call_id, f"{side}?") is None:
            return
        self._memory.drop(state.call_id, f"{side}?")
        self._restore(state, side, other)

    def settle(self) -> None:
        """At each message: do what rtpengine could not be asked while it was away."""
        if self.anchored and self._memory.owes() and not self._relay.is_away():
            for owed in self._memory.take_owed():
                self._restore(*_OWED.decode(owed))

    def end(self, state: DialogState) -> None:
        """Let rtpengine forget the call. If it is away, it is not asked, and forgets a silent call later."""
        self._memory.ended(state.call_id, *_NOTES)
        if self.anchored and state.media_id:
            self._relay.ask("delete", f"call-id={state.media_id} from-tag=a")

    def _restore(self, state: DialogState, side: str, other: str) -> None:
        """Show rtpengine once more what was agreed: now, or if it is away, as soon as it answers."""
        agreed, answer = (self._memory.look(state.call_id, name) for name in (side, other))
        if agreed is None or answer is None:
            return
        taken = self._offer_again(agreed, state, side, other)
        if taken and self._memory.look(state.call_id, f"{other}?") is None:  # else that side changes just now
            self._ksr.pv.sets(SDP_IN, answer)
            taken = self._relay.ask("answer", self._flags(state, side, other, answer=True))
        if not taken and self._relay.is_away():
            self._memory.owe(state.call_id, side, msgspec.json.encode((state, side, other)).decode())

    def _offer_again(self, text: str, state: DialogState, side: str, other: str) -> bool:
        """Show rtpengine what ``side`` has offered before, as it was cleaned then; returns if it took it."""
        self._ksr.pv.sets(SDP_IN, text)
        return self._relay.ask("offer", self._flags(state, side, other))

    def _pass(self, command: MediaCommand, text: str, flags: str, salt: str) -> tuple[CleanSdp, str]:
        """The description for the other side, and what rtpengine was shown of it, "" without rtpengine."""
        passed = (
            self._before(text, salt)
            if self.anchored
            else clean_sdp(text, self._host, salt=salt, pass_media_address=True)
        )
        if command == "offer" and has_open_media(text) and not has_open_media(passed):
            raise MediaRefused  # whoever answered would hear nothing
        if not self.anchored:
            return passed, ""
        before = passed
        ksr = self._ksr
        ksr.pv.sets(SDP_IN, before)
        if not self._relay.ask(command, flags):
            away = self._relay.is_away()
            raise MediaRefused if not away and refuses(before, self._control_port) else MediaUnavailable
        after = ksr.pv.get(SDP_OUT)
        if not after:
            raise MediaUnavailable
        learnt = _OWN_RTCP in flags
        return clean_sdp(after, self._host, salt=salt, pass_media_address=True, without_rtcp=learnt), before

    def _before(self, text: str, salt: str) -> CleanSdp:
        """What rtpengine is shown of a description."""
        # Cleaned before as well: rtpengine then sees, keeps and logs nothing that a call does not need. Each
        # side's RTCP ends at our discard port: it carries its sender's name and address (SDES CNAME), and
        # rtpengine, asked to make RTCP itself, still passes what comes without a report, such as a goodbye.
        # Where both sides' addresses are learnt, those for RTCP are too and take the discard port's place:
        # then each side is asked to send RTCP to the discard port, and reports are made by rtpengine.
        return clean_sdp(
            text,
            self._host,
            salt=salt,
            pass_media_address=True,
            without_rtcp=True,
            rtp_only=self._rtp_only,
        )

    def _flags(self, state: DialogState, side: str, other: str, *, answer: bool = False) -> str:
        """What rtpengine gets for an offer by ``side``, or for the answer to it by ``other``."""
        describes = other if answer else side
        peer = state.caller_peer if describes == "a" else state.callee_peer
        source = _FIRST if peer in self.learnt_peers else _DESCRIBED
        if {state.caller_peer, state.callee_peer} <= self.learnt_peers:
            source = f"{source} {_OWN_RTCP}"
        return f"call-id={state.media_id} from-tag={side} to-tag={other} {source} {_FLAGS}"
