"""What Kamailio says of its peers, and rtpengine of its calls. Both functions wait for an answer."""

import os
import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Final

from qibai.config import Peer
from qibai.core.bencode import Bencoded, decode, encode
from qibai.core.sip import uri_at

KAMAILIO_S: Final = 5.0
RTPENGINE_S: Final = 1.0
_DESTINATION: Final = re.compile(r"URI: (\S+)\s+FLAGS: (\w)\w*")


class PeerState(StrEnum):
    """Of a peer that calls go to."""

    UP = "up"  #: it answers OPTIONS
    DOWN = "down"
    UNKNOWN = "unknown"  #: it is not probed, or was not probed yet


_STATES: Final = {"A": PeerState.UP, "T": PeerState.UNKNOWN}


def peer_states(run_dir: Path, peers: Iterable[Peer], *, probed: bool) -> dict[str, PeerState] | None:
    """The state of each peer that calls go to, by its name; None if Kamailio does not answer.

    ``probed``: Kamailio sends OPTIONS to peers. A peer that Kamailio does not know yet is DOWN.
    """
    flags = _flags(run_dir)
    if flags is None:
        return None
    return {
        peer.name: _state(flags.get(uri_at(peer.host, peer.port, peer.transport)))
        if probed
        else PeerState.UNKNOWN
        for peer in peers
        if peer.priority >= 0
    }


def media_sessions(port: int) -> int | None:
    """How many calls rtpengine relays, by its control port on this machine; None if it does not answer."""
    cookie = secrets.token_hex(8).encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(RTPENGINE_S)
        try:
            sock.connect(("127.0.0.1", port))
            sock.send(cookie + b" " + encode({b"command": b"statistics"}))
            echoed, _, body = sock.recv(65_535).partition(b" ")
            answer = decode(body)
        except (OSError, ValueError):
            return None
    return _sessions(answer) if echoed == cookie else None


def _state(flag: str | None) -> PeerState:
    return _STATES.get(flag or "", PeerState.DOWN)


def _flags(run_dir: Path) -> dict[str, str] | None:
    """Kamailio's dispatcher: the first flag of each destination, by its URI."""
    program = shutil.which("kamcmd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        return None
    command = [program, "-s", f"unix:{run_dir}/kamailio.ctl", "dispatcher.list"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=KAMAILIO_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(_DESTINATION.findall(done.stdout)) if done.returncode == 0 else None


def _sessions(answer: Bencoded) -> int | None:
    for name in (b"statistics", b"currentstatistics", b"sessionstotal"):
        answer = answer.get(name, b"") if isinstance(answer, dict) else b""
    return answer if isinstance(answer, int) else None
