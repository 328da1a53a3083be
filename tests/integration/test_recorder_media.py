"""Calls without media, or unknown to rtpengine, are ended; the BYEs go over TCP where there is no UDP."""

import secrets
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from qibai.config import Config, VoiceConfig
from qibai.core.bencode import decode, encode
from qibai.store.keys import Keyring, binding_aad
from qibai.store.spool import SpoolWriter
from qibai.testing.ports import free_port, media_ports
from qibai.voice.engine import rtpengine_command
from recorder_tools import CODE, RecorderProcess, answered_call, wait_for

SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
)


class _Byes(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        lines = []
        while (line := self.rfile.readline().decode().strip()) or not lines:
            lines.append(line)
        self.server.seen.append(lines[0])  # type: ignore[attr-defined]
        kept = [line for line in lines if line.startswith(("Via", "From", "To", "Call-ID", "CSeq"))]
        self.wfile.write("\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""]).encode())


class _Peer(socketserver.ThreadingTCPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", free_port("127.0.0.1")), _Byes)
        self.seen: list[str] = []


@pytest.fixture
def peer() -> Iterator[_Peer]:
    server = _Peer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ng_port(tmp_path: Path) -> Iterator[int]:
    """A real rtpengine."""
    media = media_ports()
    ng_port = free_port("127.0.0.1")
    voice = VoiceConfig(media_ng_port=ng_port, media_port_min=media[0], media_port_max=media[-1])
    config = Config(home=tmp_path, voice=voice)
    config.run_dir.mkdir()
    with (tmp_path / "rtpengine.log").open("wb") as log:
        process = subprocess.Popen(rtpengine_command(config), stdout=log, stderr=log)
    try:
        wait_for(lambda: _ask(voice.media_ng_port, {b"command": b"ping"}))
        yield voice.media_ng_port
    finally:
        process.terminate()
        process.wait(20)


def _ask(port: int, question: dict[bytes, Any]) -> Any:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ask:
        ask.settimeout(0.5)
        ask.connect(("127.0.0.1", port))
        try:
            cookie = secrets.token_hex(4).encode()  # a cookie seen before gets the answer of then
            ask.send(cookie + b" " + encode(question))
            return decode(ask.recv(65_535).partition(b" ")[2])
        except OSError:
            return None


def _sealed_legs(keyring: Keyring, id: int) -> bytes:
    legs = {
        side: {"uri": f"sip:{side}-{id}@here", "from": "<sip:a@x>;tag=1", "to": "<sip:b@y>;tag=2",
               "call_id": side, "cseq": 9}
        for side in ("caller", "callee")
    }  # fmt: skip
    return keyring.seal(msgspec.json.encode(legs).decode(), binding_aad(CODE, id))


@pytest.mark.voice
def test_calls_that_are_silent_or_that_rtpengine_has_forgotten_are_ended(
    tmp_path: Path, dsn: str, ng_port: int, peer: _Peer
) -> None:
    keyring = Keyring.load_or_create(tmp_path / "keys.json")
    spool = SpoolWriter(tmp_path / "spool", "voice")
    for media_id, sdp in ((b"held", SDP + b"a=inactive\r\n"), (b"silent", SDP)):
        call_of = {b"call-id": media_id, b"from-tag": b"a", b"sdp": sdp}
        assert _ask(ng_port, {b"command": b"offer", **call_of})[b"result"] == b"ok"
        assert _ask(ng_port, {b"command": b"answer", b"to-tag": b"b", **call_of})[b"result"] == b"ok"
    for id, name in ((31, "held"), (32, "forgotten"), (33, "silent")):
        call = answered_call(id, start=time.time() - 9, legs=_sealed_legs(keyring, id), media_id=name)
        for event in call[:3]:
            spool.append(event)
    env = {
        "QIBAI_STORE_DSN": dsn,
        "QIBAI_VOICE_MEDIA": "true",
        "QIBAI_VOICE_MEDIA_NG_PORT": str(ng_port),
        "QIBAI_VOICE_MEDIA_TIMEOUT_S": "4",
        "QIBAI_VOICE_UDP_PORT": "0",
        "QIBAI_VOICE_TCP_PORT": str(peer.server_address[1]),
    }
    query = "SELECT id, reason, ended_by FROM call WHERE ended_at IS NOT NULL ORDER BY id"
    ends = [(id, "media_timeout", "platform") for id in (32, 33)]
    with RecorderProcess(tmp_path, **env) as recorder, psycopg.connect(dsn, autocommit=True) as conn:
        wait_for(lambda: conn.execute(query).fetchall() == ends)
        wait_for(lambda: len(peer.seen) == 4)
        assert recorder.stop() == 0
    assert sorted(peer.seen) == [
        f"BYE sip:{side}-{id}@here SIP/2.0" for side in ("callee", "caller") for id in (32, 33)
    ]
