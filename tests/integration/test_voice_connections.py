"""TCP connections of strangers that say nothing: they take no peer's place for long."""

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from qibai.testing.platform import wait_for
from voice_tools import CALLER_AT, STRANGER_AT, Bench, bench

pytestmark = pytest.mark.voice
_ALL = 2_048  #: connections that Kamailio has at most
_BRANCH = count(1)


@pytest.fixture
def voice(tmp_path: Path, database: Callable[[], str]) -> Iterator[Bench]:
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(least, 2 * _ALL), most))
    try:
        with bench(tmp_path, database, media=False) as made:
            yield made
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, most))


def _connected(voice: Bench, source: str) -> socket.socket:
    made = socket.create_connection(
        (voice.here[0], voice.platform.config.voice.tcp_port), timeout=5, source_address=(source, 0)
    )
    made.settimeout(5)
    return made


def _is_answered(connection: socket.socket) -> bool:
    """Returns whether an OPTIONS over the connection is answered with 200."""
    host, port = connection.getsockname()
    try:
        connection.sendall(
            "OPTIONS sip:any@test SIP/2.0\r\n"
            f"Via: SIP/2.0/TCP {host}:{port};branch=z9hG4bKc{next(_BRANCH)}\r\n"
            "Max-Forwards: 5\r\nFrom: <sip:a@test>;tag=1\r\nTo: <sip:b@test>\r\n"
            f"Call-ID: c{next(_BRANCH)}@test\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n".encode()
        )
        return connection.recv(2_000).startswith(b"SIP/2.0 200")
    except OSError:
        return False


def test_silent_connections_of_a_stranger_shut_no_peer_out_for_long(voice: Bench) -> None:
    with ExitStack() as open_ones:
        kept = open_ones.enter_context(_connected(voice, CALLER_AT))
        assert _is_answered(kept)
        for _ in range(_ALL):
            open_ones.enter_context(_connected(voice, STRANGER_AT))

        def has_a_place() -> bool:
            try:
                with _connected(voice, CALLER_AT) as new:
                    return _is_answered(new)
            except OSError:
                return False

        wait_for(has_a_place, "a place for a peer's connection", 40)
        # It was silent for as long as the stranger's.
        assert _is_answered(kept)
