"""Every packet of a test's own addresses on the loopback interface: dumpcap and a small pcap reader."""

import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_MARK_PORT: Final = 9  #: discard: nobody listens
_DEADLINE_S: Final = 10.0
_ETHERNET: Final = 1
#: The byte order by the file's first word; of microseconds, and of nanoseconds, as newer dumpcaps write them.
_PCAP: Final = {0xA1B2C3D4: "<", 0xD4C3B2A1: ">", 0xA1B23C4D: "<", 0x4D3CB2A1: ">"}


def _dumpcap() -> str:
    """The one that this user may run (``scripts/setup --tests`` makes it for users other than root)."""
    own = Path(sys.prefix, "bin", "dumpcap")
    return str(own) if own.exists() else "dumpcap"


class CaptureFailed(RuntimeError):
    """dumpcap did not start or did not write what it saw."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One IPv4 datagram, put together again when it came in fragments; ports are 0 where there are none."""

    src: str
    dst: str
    proto: str
    sport: int
    dport: int
    seq: int  #: of TCP, else 0
    payload: bytes


class Capture:
    """Use as a context manager round the traffic; afterwards ``packets`` holds all of it.

    ``expression`` is a capture filter, such as ``host 127.41.0.2``. Needs the right to capture.
    """

    def __init__(self, path: Path, expression: str, interface: str = "lo") -> None:
        self.path = path
        self.packets: list[Packet] = []
        self._mark_host = f"127.{secrets.randbelow(100) + 100}.{secrets.randbelow(250) + 1}.9"
        mine = f"(udp and dst host {self._mark_host} and dst port {_MARK_PORT})"
        self._command = [
            _dumpcap(),
            "-q",
            "-P",
            "-i",
            interface,
            "-f",
            f"({expression}) or {mine}",
            "-w",
            str(path),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            self._mark(b"start")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._mark(b"end")
        finally:
            self._stop()
        if kind is None:
            self.packets = [p for p in read_packets(self.path) if p.dst != self._mark_host]

    def _mark(self, name: bytes) -> None:
        """Send a datagram of our own until the file has it: then it has all that went before."""
        mark = b"capture " + name + secrets.token_bytes(8)
        until = time.monotonic() + _DEADLINE_S
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while time.monotonic() < until:
                if self._process is None or self._process.poll() is not None:
                    raise CaptureFailed("dumpcap ended: is it there, and may this user capture?")
                sender.sendto(mark, (self._mark_host, _MARK_PORT))
                time.sleep(0.05)
                if self.path.exists() and mark in self.path.read_bytes():
                    return
        raise CaptureFailed("dumpcap does not write what it sees")

    def _stop(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                os.kill(self._process.pid, signal.SIGINT)
            try:
                self._process.wait(_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stderr is not None:
                self._process.stderr.close()
            self._process = None


def read_packets(path: Path) -> Iterator[Packet]:
    """The IPv4 datagrams of a pcap file of Ethernet frames, as the loopback interface gives them."""
    data = path.read_bytes()
    order = _PCAP.get(int.from_bytes(data[:4], "little"))
    if order is None:
        raise CaptureFailed("not a pcap file")
    if struct.unpack_from(order + "I", data, 20)[0] != _ETHERNET:
        raise CaptureFailed("want Ethernet frames")
    fragments: dict[tuple[bytes, bytes, int, int], dict[int, bytes]] = {}
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack_from(order + "I", data, at + 8)[0]
        frame = data[at + 16 : at + 16 + size]
        at += 16 + size
        if frame[12:14] != b"\x08\x00":
            continue
        ip = frame[14 : 14 + int.from_bytes(frame[16:18], "big")]
        header = (ip[0] & 15) * 4
        proto, source, target = ip[9], ip[12:16], ip[16:20]
        flags = int.from_bytes(ip[6:8], "big")
        body = ip[header:]
        if flags & 0x3FFF:  # a fragment: more to come, or an offset
            parts = fragments.setdefault((source, target, proto, int.from_bytes(ip[4:6], "big")), {})
            parts[(flags & 0x1FFF) * 8] = body
            if flags & 0x2000:
                continue
            body = b"".join(parts[offset] for offset in sorted(parts))
        yield _packet(proto, source, target, body)


def _packet(proto: int, source: bytes, target: bytes, body: bytes) -> Packet:
    src, dst = socket.inet_ntoa(source), socket.inet_ntoa(target)
    if proto == socket.IPPROTO_UDP:
        sport, dport = struct.unpack_from(">HH", body)
        return Packet(src, dst, "UDP", sport, dport, 0, body[8:])
    if proto == socket.IPPROTO_TCP:
        sport, dport, seq = struct.unpack_from(">HHI", body)
        return Packet(src, dst, "TCP", sport, dport, seq, body[(body[12] >> 4) * 4 :])
    return Packet(src, dst, str(proto), 0, 0, 0, body)


def streams(packets: Iterable[Packet]) -> dict[tuple[str, int, str, int], bytes]:
    """What each direction of each TCP connection carried, in order, each byte once."""
    parts: dict[tuple[str, int, str, int], dict[int, bytes]] = {}
    for packet in packets:
        if packet.proto == "TCP" and packet.payload:
            key = (packet.src, packet.sport, packet.dst, packet.dport)
            parts.setdefault(key, {}).setdefault(packet.seq, packet.payload)
    return {key: b"".join(seen[seq] for seq in sorted(seen)) for key, seen in parts.items()}
