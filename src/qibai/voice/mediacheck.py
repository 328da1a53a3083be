"""Whether rtpengine answers, and whether it refuses a session description, asked in its ``ng`` protocol.

Kamailio's module says the same of a refusal, of silence, and of an rtpengine that it has given up for a
moment. The first is the sender's fault and the others are ours, so their answers differ.
"""

import secrets
import socket
from typing import Final

from qibai.core.bencode import encode

_ANSWER_S: Final = 0.2


def answers(port: int, within_s: float = _ANSWER_S) -> bool:
    """Returns True if rtpengine on ``port`` of this machine answers within ``within_s``."""
    try:
        with _control(port, within_s) as control:
            return b"pong" in _ask(control, {"command": "ping"})
    except OSError:
        return False


def refuses(description: str, port: int) -> bool:
    """Returns True if rtpengine on ``port`` of this machine answers that it cannot use ``description``."""
    call_id = f"check-{secrets.token_hex(8)}"
    try:
        with _control(port) as control:
            answer = _ask(
                control, {"call-id": call_id, "command": "offer", "from-tag": "a", "sdp": description}
            )
            if b"6:result5:error" in answer:
                return b"SDP" in answer  # it may as well have no port left
            _ask(control, {"call-id": call_id, "command": "delete"})
    except OSError:
        pass
    return False


def _control(port: int, within_s: float = _ANSWER_S) -> socket.socket:
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    control.settimeout(within_s)
    control.connect(("127.0.0.1", port))
    return control


def _ask(control: socket.socket, request: dict[str, str]) -> bytes:
    """``request`` in bencoding, after a cookie."""
    question = encode({key.encode(): value.encode() for key, value in request.items()})
    control.send(secrets.token_hex(4).encode() + b" " + question)
    return control.recv(65_535)
