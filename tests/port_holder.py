"""A stranger's process that has a port."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_HOLD = """
import socket, sys
kind, host, port, shared = sys.argv[1:]
sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, getattr(socket, kind))
if shared == "shared":
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
sock.bind((host, int(port)))
if kind == "SOCK_STREAM":
    sock.listen()
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def port_held(kind: socket.SocketKind, host: str, port: int, *, shared: bool = False) -> Iterator[int]:
    """The number of a process that has the port; ``shared``: in the way that lets others open it, too."""
    command = [sys.executable, "-c", _HOLD, kind.name, host, str(port), "shared" if shared else "alone"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process.pid
        finally:
            process.kill()
