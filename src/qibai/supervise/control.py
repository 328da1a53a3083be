"""How a running supervisor is asked: a Unix socket in ``run``, one JSON line each way.

The answer says what is so now; nothing is read from a file, which a full disk would leave behind.
"""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from qibai.config import Config

NAME: Final = "supervisor.sock"
ANSWER_S: Final = 30.0

Answer = Callable[[str, bool], Awaitable[dict[str, Any]]]  #: (what is asked, whether by the owner or root)


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """The socket's path in few octets, however long the folder's is."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{NAME}"
    finally:
        os.close(fd)


async def listen(config: Config, answer: Answer) -> asyncio.Server:
    """Answer whoever asks, until the server is closed. Raise OSError."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, TimeoutError):
            line = await asyncio.wait_for(reader.readline(), 5.0)
            said = await answer(line.decode().strip(), _is_owner(writer))
            writer.write(json.dumps(said).encode() + b"\n")
            await writer.drain()
        writer.close()

    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short(config.run_dir) as path:
        (config.run_dir / NAME).unlink(missing_ok=True)
        sock.bind(path)
    (config.run_dir / NAME).chmod(0o666)
    return await asyncio.start_unix_server(serve, sock=sock)


def _is_owner(writer: asyncio.StreamWriter) -> bool:
    peer = writer.get_extra_info("socket")
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return uid in (0, os.geteuid())


def ask(config: Config, what: str, timeout_s: float = ANSWER_S) -> dict[str, Any] | None:
    """The supervisor's answer; None when nobody answers."""
    try:
        with _short(config.run_dir) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout_s)
            sock.connect(path)
            sock.sendall(what.encode() + b"\n")
            with sock.makefile("rb") as file:
                found: dict[str, Any] = json.loads(file.readline())
                return found
    except (OSError, ValueError):
        return None
