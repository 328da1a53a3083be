"""Packets of sound at both ends of a call: who is heard, and by whom."""

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from voice_tools import HERE, Bench, wait_for

PCMA = 8
_SEQUENCE = count(1)


@contextmanager
def mouth(address: str) -> Iterator[socket.socket]:
    """A socket for media at that address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind((address, 0))
        made.setblocking(False)
        yield made


def port_of(made: socket.socket) -> int:
    return int(made.getsockname()[1])


def say(sender: socket.socket, port: int, word: bytes) -> None:
    """Send one packet of sound to the platform's port."""
    head = struct.pack("!BBHII", 0x80, PCMA, next(_SEQUENCE) & 0xFFFF, 160, 0x5EED)
    sender.sendto(head + word.ljust(160, b"\xd5"), (HERE, port))


def heard(receiver: socket.socket) -> list[bytes]:
    """What has come in since the last time, from the platform's own address."""
    found = []
    while True:
        try:
            got, source = receiver.recvfrom(2_048)
        except BlockingIOError:
            return found
        assert source[0] == HERE
        found.append(got[12:].rstrip(b"\xd5"))


def hears(receiver: socket.socket, sender: socket.socket, port: int, word: bytes) -> list[bytes]:
    """Say ``word`` until the other side hears it; returns all that it heard until then."""
    found: list[bytes] = []

    def passes() -> bool:
        say(sender, port, word)
        found.extend(heard(receiver))
        return word in found

    wait_for(passes, f"{word!r} at the other side")
    return found


def ports_of(voice: Bench) -> tuple[int, int]:
    """Where the caller sends its media to, and where the callee does: the platform's ports of this call."""
    told = [text for agent in voice.latest for text in agent.received if "\nm=audio " in text]
    answer = next(text for text in told if text.startswith("SIP/2.0 200"))
    invite = next(text for text in told if text.startswith("INVITE "))
    return media_port(answer), media_port(invite)


def media_port(text: str) -> int:
    """Where a message's description wants the audio."""
    found = re.search(r"^m=audio (\d+) ", text, re.MULTILINE)
    assert found, text
    return int(found[1])
