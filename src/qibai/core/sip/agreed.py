"""Whether two sides that were shown different descriptions of a session can hear each other."""

import re
from typing import Final

#: Static payload types (RFC 3551), which need no ``a=rtpmap``.
_NAMES: Final = {
    "0": "PCMU",
    "3": "GSM",
    "4": "G723",
    "5": "DVI4",
    "6": "DVI4",
    "7": "LPC",
    "8": "PCMA",
    "9": "G722",
    "10": "L16",
    "11": "L16",
    "12": "QCELP",
    "13": "CN",
    "14": "MPA",
    "15": "G728",
    "16": "DVI4",
    "17": "DVI4",
    "18": "G729",
    "26": "JPEG",
    "31": "H261",
    "32": "MPV",
    "34": "H263",
}
#: They carry no sound or picture of their own.
_BESIDE: Final = frozenset(("TELEPHONE-EVENT", "CN", "RED", "RTX", "ULPFEC", "FLEXFEC"))
_RTPMAP = re.compile(r"a=rtpmap:([0-9]+) ([^/ ]+)")


def has_common_codec(answer: str, passed: str) -> bool:
    """Returns True if some media of ``answer`` shares a codec with ``passed``, which the other side gets.

    Where an answer has no codec of its offer, a relay may put the offer's codecs in their place. Media of an
    answer that is refused, is not RTP or names no codec says nothing; if there is no other, this is True.
    """
    pairs = [(ours, theirs) for ours, theirs in zip(_codecs(answer), _codecs(passed), strict=False) if ours]
    return not pairs or any(ours & theirs for ours, theirs in pairs)


def _codecs(text: str) -> list[set[str]]:
    """Of each media: the names of its codecs."""
    found: list[set[str]] = []
    for media in re.split(r"\r?\n(?=m=)", text)[1:]:
        line, *lines = media.splitlines()
        _, port, protocol, *types = line.split()
        if port == "0" or "RTP" not in protocol:
            types = []
        names = _NAMES | {seen[1]: seen[2].upper() for at in lines if (seen := _RTPMAP.match(at))}
        found.append({names.get(number, number) for number in types} - _BESIDE)
    return found
