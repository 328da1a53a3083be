"""rtpengine: an offer or answer goes in, the same comes out with our own address for media.

The two sides are ``a`` (the caller's) and ``b`` (the callee's): no tag of theirs reaches rtpengine.
"""

from typing import Any, Final

from qibai.core.sip import CleanSdp, clean_sdp

#: ``asymmetric``: addresses come from descriptions alone and are not learnt from packets. See ``_pass``.
_FLAGS: Final = "asymmetric replace-origin replace-session-connection ICE=remove trust-address"


class MediaUnavailable(Exception):
    """rtpengine did not answer, or refused."""


class Media:
    """One call's media, through Kamailio's rtpengine module; or, with media off, through no one."""

    def __init__(self, ksr: Any, host: str, *, anchored: bool) -> None:
        self._ksr = ksr
        self._host = host
        self.anchored = anchored

    def offer(self, text: str, media_id: str, *, from_caller: bool, salt: str) -> CleanSdp:
        """Raise MediaUnavailable, or BadMessage for a description that is none."""
        side, other = ("a", "b") if from_caller else ("b", "a")
        return self._pass("offer", text, f"call-id={media_id} from-tag={side} to-tag={other} {_FLAGS}", salt)

    def answer(self, text: str, media_id: str, *, offered_by_caller: bool, salt: str) -> CleanSdp:
        """Raise MediaUnavailable, or BadMessage for a description that is none."""
        side, other = ("a", "b") if offered_by_caller else ("b", "a")
        return self._pass("answer", text, f"call-id={media_id} from-tag={side} to-tag={other} {_FLAGS}", salt)

    def end(self, media_id: str) -> None:
        """Let rtpengine forget the call; it forgets a silent one by itself."""
        if self.anchored and media_id:
            self._ksr.rtpengine.rtpengine_delete(f"call-id={media_id} from-tag=a")

    def _pass(self, command: str, text: str, flags: str, salt: str) -> CleanSdp:
        if not self.anchored:
            return clean_sdp(text, self._host, salt=salt, pass_media_address=True)
        # Cleaned before as well: rtpengine then sees, keeps and logs nothing that a call does not need. Each
        # side's RTCP ends at our discard port: it carries its sender's name and address (SDES CNAME), and
        # rtpengine, told to make RTCP anew, still passes what comes without a report, such as a goodbye.
        before = clean_sdp(text, self._host, salt=salt, pass_media_address=True, without_rtcp=True)
        ksr = self._ksr
        ksr.pv.sets("$avp(sdp_in)", before)
        run = ksr.rtpengine.rtpengine_offer if command == "offer" else ksr.rtpengine.rtpengine_answer
        if run(flags) < 0:
            raise MediaUnavailable
        after = ksr.pv.get("$avp(sdp_out)")
        if not after:
            raise MediaUnavailable
        return clean_sdp(after, self._host, salt=salt, pass_media_address=True)
