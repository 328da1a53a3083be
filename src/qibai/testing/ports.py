"""Ports and addresses of loopback that belong to one process: other tests and other platforms stay away.

A port that was only looked at may be gone before it is used. So a process claims what it draws, for as long
as it lives, by a lock on one byte of a file that all processes of this network namespace share. Ports are
drawn below those that the kernel hands out (32768 and up on Linux), and outside Qibai's defaults.
"""

import contextlib
import fcntl
import os
import secrets
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from qibai.core.errors import Unavailable

_SINGLE: Final = range(10_000, 20_000)
_MEDIA: Final = range(20_000, 27_000)
_WIDE_MEDIA: Final = range(27_000, 30_000)  # for blocks that small blocks would leave no room for
_WIDE: Final = 500
_NETS: Final = range(70_000 + 1, 70_000 + 255)  # a place in the file for each second octet
_TRIES: Final = 2_000
_TURNS: Final = 4  # blocks for media that one process uses in turn
_HELD: set[int] = set()
_BLOCKS: dict[int, list[range]] = {}
_GUARD: Final = threading.Lock()
_network = ""
_file: tuple[int, int] | None = None  # the process that opened the file, and its descriptor


def free_port(host: str, kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port of ``host`` that nobody has and that no other caller gets while this process lives.

    Raises Unavailable when there is none left.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with _GUARD:
        for attempt in range(_TRIES):
            port = secrets.choice(_SINGLE)
            if port in _HELD and attempt < _TRIES // 2:
                continue
            if _vacant(family, kind, host, port) and _claim(port):
                return port
    raise Unavailable(f"no port of {host} is free within {_SINGLE[0]} to {_SINGLE[-1]}")


def media_ports(count: int = 200, fits: Callable[[range], bool] = lambda ports: True) -> range:
    """So many ports for media that no other process has, and that ``fits`` takes.

    A process uses a few blocks in turn. Raises Unavailable when there is none left.
    """
    within = _WIDE_MEDIA if count >= _WIDE else _MEDIA
    with _GUARD:
        blocks = _BLOCKS.setdefault(count, [])
        if len(blocks) == _TURNS:
            blocks.append(blocks.pop(0))
            return blocks[-1]
        starts = within[::count]
        for start in secrets.SystemRandom().sample(starts, len(starts)):
            block = range(start, start + count)
            if block.stop <= within.stop and fits(block) and _claim(start, count):
                blocks.append(block)
                return block
        if blocks:
            blocks.append(blocks.pop(0))
            return blocks[-1]
    raise Unavailable(f"no {count} ports for media are free within {within[0]} to {within[-1]}")


def own_network() -> str:
    """The first two octets of loopback addresses that only this process uses, such as ``127.7``.

    Raises Unavailable when all are in use.
    """
    global _network  # noqa: PLW0603
    with _GUARD:
        if _network:
            return _network
        for place in secrets.SystemRandom().sample(_NETS, len(_NETS)):
            if _claim(place):
                _network = f"127.{place - _NETS[0] + 1}"
                return _network
    raise Unavailable("all networks of loopback are in use by other tests")


def _vacant(family: socket.AddressFamily, kind: socket.SocketKind, host: str, port: int) -> bool:
    with socket.socket(family, kind) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _claim(first: int, count: int = 1) -> bool:
    """Hold these places until this process ends. Returns False if another process, or this one, has any."""
    if count > 1 and not _HELD.isdisjoint(range(first, first + count)):
        return False
    try:
        fcntl.lockf(_descriptor(), fcntl.LOCK_EX | fcntl.LOCK_NB, count, first)
    except OSError:
        return False
    _HELD.update(range(first, first + count))
    return True


def _descriptor() -> int:
    """The shared file. It stays open: closing any descriptor of it would end this process's claims."""
    global _file  # noqa: PLW0603
    if _file is None or _file[0] != os.getpid():  # a child has none of its parent's locks
        _HELD.clear()
        _BLOCKS.clear()
        here = Path("/proc/self/ns/net").stat().st_ino
        path = Path(tempfile.gettempdir()) / f"qibai-ports-{here}"
        with contextlib.suppress(FileExistsError):
            made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
            os.fchmod(made, 0o666)  # any user's tests
            os.close(made)
        _file = os.getpid(), os.open(path, os.O_RDWR)
    return _file[1]
