"""Two telephones' ears and mouths: RTP packets of silence, sent and counted."""

import re
import socket
import struct
import threading
import time
from typing import Final

_FRAME_S: Final = 0.02
_SILENCE: Final = b"\xd5" * 160  # G.711 A-law


class Phone:
    """One side's RTP port; ``heard`` counts what arrives."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.settimeout(0.05)
        self.port = int(self._sock.getsockname()[1])
        self.heard = 0
        self._closing = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def talk(self, sdp: str, frames: int) -> None:
        """Send that many frames to where ``sdp`` wants its media."""
        host = re.search(r"^c=IN IP4 (\S+)", sdp, re.MULTILINE)
        port = re.search(r"^m=audio (\d+)", sdp, re.MULTILINE)
        if host is None or port is None:
            return
        for number in range(frames):
            header = struct.pack("!BBHII", 0x80, 8, number, number * 160, self.port)
            self._sock.sendto(header + _SILENCE, (host[1], int(port[1])))
            time.sleep(_FRAME_S)

    def close(self) -> None:
        self._closing.set()
        self._listener.join()
        self._sock.close()

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                if self._sock.recv(2048)[0] >> 6 == 2:
                    self.heard += 1
            except (TimeoutError, IndexError):
                continue
