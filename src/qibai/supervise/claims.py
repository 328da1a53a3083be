"""Ports that a platform claims while its supervisor lives, also while the part that opens them is away.

A claim is an abstract Unix socket whose name says what is claimed and by which process. It lives in the
network namespace that the ports are in, and the kernel removes it with its process.
"""

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final, Self

from qibai.settings.needed import MediaRange, NeededPort
from qibai.supervise.portuse import named, overlap, unix_names

_PREFIX: Final = "qibai/claim/"
_TURN: Final = "\0qibai/claiming"
_TURN_S: Final = 10.0


class Claims:
    """What this process has claimed; a context manager that gives it back."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in self._held:
            sock.close()
        self._held.clear()

    def take(self, ports: Sequence[NeededPort], media: MediaRange | None) -> dict[str, str]:
        """Claim these ports; what cannot be had, by the key of the configuration, and who has it."""
        wanted: list[tuple[str, str, str, int, int]] = [
            (one.key, one.transport, one.host, one.number, one.number) for one in ports
        ]
        if media is not None:
            wanted.append(("voice.media_port_min", "media", media.host, media.least, media.most))
        refused = {}
        with _turn():
            others = list(_claims())
            for key, kind, host, least, most in wanted:
                for pid, their_kind, their_host, their_least, their_most in others:
                    meet = least <= their_most and their_least <= most
                    if kind == their_kind and meet and overlap(host, their_host) and pid != os.getpid():
                        what = f"port {least}" if least == most else f"some of the ports {least} to {most}"
                        refused[key] = f"{kind.upper()} {what} of {host}: claimed by {named([pid])}"
            if not refused:
                for _, kind, host, least, most in wanted:
                    self._held.append(_bound(f"\0{_PREFIX}{kind}/{host}/{least}/{most}/{os.getpid()}"))
        return refused


def _bound(name: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.bind(name)
    except OSError:
        sock.close()
        raise
    return sock


@contextmanager
def _turn() -> Iterator[None]:
    """One process claims at a time. Who never lets go is not waited for without end."""
    deadline = time.monotonic() + _TURN_S
    held: socket.socket | None = None
    while held is None and time.monotonic() < deadline:
        with suppress(OSError):
            held = _bound(_TURN)
        if held is None:
            time.sleep(0.02)
    try:
        yield
    finally:
        if held is not None:
            held.close()


def _claims() -> Iterator[tuple[int, str, str, int, int]]:
    for name in unix_names():
        if name.startswith(_PREFIX):
            with suppress(ValueError):
                kind, host, least, most, pid = name.removeprefix(_PREFIX).split("/")
                yield int(pid), kind, host, int(least), int(most)
