"""Single lines of a session description: what passes, by name and by shape."""

import re
from base64 import b64decode
from functools import lru_cache
from itertools import pairwise
from typing import Final

#: Codecs by their names in upper case: a name is free text, so only names that mean something pass.
CODECS: Final = frozenset(
    word
    for line in (
        "PCMU PCMA GSM GSM-EFR G722 G7221 G723 G728 G729 G729D G729E G726-16 G726-24 G726-32 G726-40",
        "AAL2-G726-32 LPC DVI4 L8 L16 QCELP AMR AMR-WB AMR-WB+ EVS ILBC OPUS SPEEX SILK IVOX CN",
        "TELEPHONE-EVENT RED MP4A-LATM MPEG4-GENERIC T140 CLEARMODE VDVI MPA MPV JPEG RTX ULPFEC FLEXFEC",
        "H261 H263 H263-1998 H263-2000 H264 H264-SVC H265 MP4V-ES VP8 VP9 AV1",
    )
    for word in line.split()
)

_RTPMAP = re.compile(r"a=rtpmap:([0-9]{1,3}) ([A-Za-z0-9+\-]{1,20})/([0-9]{4,6})(?:/[1-9])?")
_FMTP = re.compile(r"a=fmtp:([0-9]{1,3}) (.{1,400})")
_EVENTS = re.compile(r"[0-9]{1,3}(?:-[0-9]{1,3})?(?:,[0-9]{1,3}(?:-[0-9]{1,3})?){0,7}")
_REDUNDANT = re.compile(r"([0-9]{1,3})(?:/\1){1,5}")

_SWITCH: Final = "[01]"
_RATE: Final = "[1-9][0-9]?(?:\\.[0-9]{1,2})?(?:-[1-9][0-9]{0,2}(?:\\.[0-9]{1,2})?)?"
_SIZE: Final = "[0-9]{1,7}"
_TIMES: Final = "(?:[0-9]{1,3})"
FMTP_PARAMETERS: Final = {
    name: re.compile(pattern, re.ASCII | re.IGNORECASE)
    for names, pattern in (
        ("octet-align crc robust-sorting mode-change-neighbor hf-only evs-mode-switch dtx dtx-recv", _SWITCH),
        ("stereo sprop-stereo useinbandfec usedtx cbr level-asymmetry-allowed packetization-mode", "[0-2]"),
        ("mode-change-capability mode-change-period", "[12]"),
        ("mode-set", "[0-8](?:,[0-8]){0,8}"),
        ("mode", "20|30|[0-6](?:,any)?"),
        ("interleaving max-red ptime maxptime minptime cmr ch-aw-recv", "-?[0-9]{1,3}"),
        ("channels ch-send ch-recv", "[1-6]"),
        ("br br-send br-recv", _RATE),
        ("bw bw-send bw-recv", "(?:nb|wb|swb|fb)(?:-(?:nb|wb|swb|fb))?"),
        ("annexa annexb", "yes|no"),
        ("bitrate maxplaybackrate sprop-maxcapturerate maxaveragebitrate", "[0-9]{4,6}"),
        ("vbr", "on|off|vad"),
        ("cng", "on|off"),
        ("profile-level-id", "[0-9a-f]{6}|[0-9]{1,3}"),
        ("max-mbps max-fs max-br max-dpb max-cpb max-smbps max-fr max-lps max-lsr max-dps maxbr", _SIZE),
        ("apt profile level level-id tier-flag profile-id level-idx tier profile-space", _TIMES),
        ("cif qcif sqcif cif4 cif16", "[1-9][0-9]?"),
    )
    for name in names.split()
}

_SUITE: Final = "AES_(?:CM_128|192_CM|256_CM)_HMAC_SHA1_(?:80|32)|AEAD_AES_(?:128|256)_GCM"
_STRENGTH: Final = "mandatory|optional|none|failure|unknown"
_DIRECTION: Final = "none|send|recv|sendrecv"

#: Attributes without a payload type.
ATTRIBUTES: Final = {
    name: re.compile(pattern)
    for name, pattern in (
        ("sendrecv", ""),
        ("sendonly", ""),
        ("recvonly", ""),
        ("inactive", ""),
        ("rtcp-mux", ""),
        ("rtcp-rsize", ""),
        ("ptime", "[0-9]{1,3}"),
        ("maxptime", "[0-9]{1,3}"),
        ("framerate", r"[0-9]{1,3}(?:\.[0-9]{1,2})?"),
        ("rtcp", "[0-9]{1,5}"),  # the port alone; the form with an address does not pass
        ("curr", rf"qos (?:local|remote|e2e) (?:{_DIRECTION})"),
        ("des", rf"qos (?:{_STRENGTH}) (?:local|remote|e2e) (?:{_DIRECTION})"),
        ("conf", rf"qos (?:local|remote|e2e) (?:{_DIRECTION})"),
        ("silenceSupp", "(?:on|off) - - - -"),
        ("setup", "active|passive|actpass|holdconn"),
        ("fingerprint", "(?:sha-1|sha-256|sha-384|sha-512) (?:[0-9A-Fa-f]{2}:){19,63}[0-9A-Fa-f]{2}"),
        ("T38FaxVersion", "[0-9]"),
        ("T38MaxBitRate", "[0-9]{4,5}"),
        ("T38FaxFillBitRemoval", "|[01]"),
        ("T38FaxTranscodingMMR", "|[01]"),
        ("T38FaxTranscodingJBIG", "|[01]"),
        ("T38FaxRateManagement", "transferredTCF|localTCF"),
        ("T38FaxMaxBuffer", "[0-9]{1,5}"),
        ("T38FaxMaxDatagram", "[0-9]{1,5}"),
        ("T38FaxUdpEC", "t38UDPRedundancy|t38UDPFEC|t38UDPNoEC"),
    )
}
#: Media keys (RFC 4568). Without them SRTP between a peer and our media relay, or between two peers where we
#: anchor no media, cannot start. A key is random and of fixed length: one with a row of digits in it, plain
#: or decoded, is no key (by chance it happens twice in a million). They never enter the cache below.
_CRYPTO = re.compile(
    rf"a=crypto:[1-9][0-9]? (?:{_SUITE}) inline:([A-Za-z0-9+/]{{38,62}}={{0,2}})"
    r"(?:\|2\^[0-9]{1,2})?(?:\|[0-9]{1,3}:[0-9])?"
)
_DIGITS = re.compile(rb"[0-9]{9}")
_RTCP_FB = re.compile(
    r"a=rtcp-fb:(\*|[0-9]{1,3}) "
    r"(?:nack(?: pli| sli| rpsi)?|ccm (?:fir|tmmbr|tstr)|goog-remb|transport-cc|trr-int [0-9]{1,5})"
)
_BANDWIDTH = re.compile(r"b=(?:AS|TIAS|RS|RR|CT):[0-9]{1,7}")


def attribute(line: str, types: frozenset[str] | None) -> str | None:
    """The attribute line as it passes, or None.

    ``types`` are the payload types of its media; None above all media.
    """
    if line.startswith("a=crypto:"):
        return line if _is_key(line) else None
    written, payload = _attribute(line)
    if written is None or (payload is not None and (types is None or payload not in types)):
        return None
    return written


def _is_key(line: str) -> bool:
    found = _CRYPTO.fullmatch(line)
    if found is None:
        return False
    key = found[1].encode()
    try:
        decoded = b64decode(key, validate=True)
    except ValueError:
        return False
    return not (_DIGITS.search(key) or _DIGITS.search(decoded))


@lru_cache(maxsize=4_096)
def _attribute(line: str) -> tuple[str | None, str | None]:
    """(the line as it passes, the payload type that it speaks of). The same lines come with every call."""
    name, _, value = line[2:].partition(":")
    shape = ATTRIBUTES.get(name)
    if shape is not None:
        return (line if shape.fullmatch(value) else None), None
    if name == "rtpmap":
        found = _RTPMAP.fullmatch(line)
        return (line, found[1]) if found and found[2].upper() in CODECS else (None, None)
    if name == "fmtp":
        return _fmtp(line)
    if name == "rtcp-fb":
        found = _RTCP_FB.fullmatch(line)
        return (None, None) if found is None else (line, None if found[1] == "*" else found[1])
    return None, None


def _fmtp(line: str) -> tuple[str | None, str | None]:
    found = _FMTP.fullmatch(line)
    if found is None:
        return None, None
    payload, value = found[1], found[2].strip(" ")
    if _EVENTS.fullmatch(value):
        numbers = [int(number) for number in re.split("[-,]", value)]
        rising = all(low < high for low, high in pairwise(numbers))
        return (f"a=fmtp:{payload} {value}", payload) if rising and numbers[-1] <= 255 else (None, None)
    if _REDUNDANT.fullmatch(value):
        return f"a=fmtp:{payload} {value}", payload
    kept: dict[str, str] = {}
    for item in value.split(";"):
        name, _, setting = (part.strip(" ") for part in item.partition("="))
        shape = FMTP_PARAMETERS.get(name.lower())
        if shape is not None and shape.fullmatch(setting):
            kept.setdefault(name.lower(), f"{name}={setting}")
    return (f"a=fmtp:{payload} {';'.join(kept.values())}", payload) if kept else (None, None)


def codec_is_known(line: str) -> bool:
    """Whether an ``a=rtpmap`` line names a codec that passes."""
    return _attribute(line)[0] is not None


def bandwidth(line: str) -> str | None:
    """The bandwidth line when it passes, or None."""
    return line if _BANDWIDTH.fullmatch(line) else None
