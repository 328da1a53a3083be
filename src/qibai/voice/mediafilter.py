"""The library that has the kernel drop what is no RTP before rtpengine sees it (``media_filter.c``).

rtpengine relays whatever comes from a party's address, and no option of its makes it look at it.
"""

import os
import sys
from pathlib import Path
from typing import Final

from qibai.config import VoiceConfig

#: Where scripts/setup puts what it compiled.
LIBRARY: Final = Path(sys.prefix) / "lib" / "qibai-media-filter.so"


def is_wanted(voice: VoiceConfig) -> bool:
    """Returns True if RTP alone is to pass."""
    return voice.media and voice.media_rtp_only


def preloading(voice: VoiceConfig) -> list[str]:
    """The head of a command that starts rtpengine with the filter; empty without a filter."""
    if not is_wanted(voice) or not LIBRARY.exists():
        return []
    libraries = " ".join(filter(None, (os.environ.get("LD_PRELOAD"), str(LIBRARY))))
    ports = f"{voice.media_port_min}-{voice.media_port_max}"
    return ["/usr/bin/env", f"LD_PRELOAD={libraries}", f"QIBAI_MEDIA_PORTS={ports}"]
