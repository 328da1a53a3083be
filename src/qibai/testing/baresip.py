"""``baresip``, a real SIP user agent, driven by its ctrl_tcp module: netstrings that hold JSON."""

import json
import math
import secrets
import socket
import struct
import subprocess
import time
import wave
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from qibai.core.errors import Unavailable
from qibai.core.numbering import Msisdn
from qibai.testing.platform import wait_for
from qibai.testing.ports import free_port, media_ports

_RATE: Final = 8_000
_MODULES: Final = Path("/usr/lib/baresip/modules")


def write_tone(path: Path, hertz: float, seconds: float = 60.0) -> None:
    """A WAV file with one tone, 8 kHz, mono."""
    samples = (round(9_000 * math.sin(2 * math.pi * hertz * n / _RATE)) for n in range(int(_RATE * seconds)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))


def tone_share(samples: list[int], hertz: float) -> float:
    """How much of the sound's energy is in that tone, 0 … 1 (Goertzel)."""
    energy = sum(sample * sample for sample in samples)
    if not energy:
        return 0.0
    turn = 2 * math.cos(2 * math.pi * hertz / _RATE)
    last = before = 0.0
    for sample in samples:
        last, before = sample + turn * last - before, last
    power = last * last + before * before - turn * last * before
    return 2 * power / (len(samples) * energy)


class Baresip:
    """One user agent, whose calls go to ``proxy``; it plays ``tone`` (in hertz) and records what it hears."""

    def __init__(
        self, folder: Path, number: Msisdn, at: tuple[str, int], *, proxy: tuple[str, int], tone: float
    ) -> None:
        self.address, self.port = address, port = at
        ports = media_ports(100)
        self.media = (ports[0], ports[-1])  #: UDP ports, on any address
        self._folder = folder
        self._control = free_port("127.0.0.1", socket.SOCK_STREAM)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._pending = b""
        self.events: list[dict[str, Any]] = []
        folder.mkdir(parents=True)
        write_tone(folder / "tone.wav", tone)
        (folder / "config").write_text(self._config())
        (folder / "accounts").write_text(
            f"<sip:{number.e164}@{address}:{port};transport=udp>;regint=0;audio_codecs=PCMA/8000/1"
            f';outbound="sip:{proxy[0]}:{proxy[1]};transport=udp";answermode=manual\n'
        )
        (folder / "contacts").write_text("")

    def __enter__(self) -> Self:
        with (self._folder / "out").open("wb") as out:
            self._process = subprocess.Popen(
                ["baresip", "-f", str(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self._folder,
            )
        try:
            wait_for(self._connect, f"baresip, see {self._folder / 'out'}")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def command(self, name: str, params: str = "") -> dict[str, Any]:
        """Run a command, such as ``dial``, and return its answer. Raise Unavailable when none comes."""
        token = secrets.token_hex(4)
        body = json.dumps({"command": name, "params": params, "token": token}).encode()
        if self._socket is None:
            raise Unavailable("baresip was not started")
        self._socket.sendall(b"%d:%s," % (len(body), body))
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for answer in self._read():
                if answer.get("token") == token:
                    return answer
        raise Unavailable(f"baresip does not answer to {name}")

    def wait_event(self, kind: str, seconds: float = 10.0) -> dict[str, Any]:
        """The next event of that type, such as ``CALL_ESTABLISHED``; events before it are forgotten."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            while self.events:
                event = self.events.pop(0)
                if event.get("type") == kind:
                    return event
            self._read()
        raise Unavailable(f"baresip reported no {kind}, see {self._folder / 'out'}")

    def heard(self) -> list[int]:
        """Every sample that came in so far, of all recordings in turn."""
        data = b""
        for path in sorted(self._folder.glob("dump-*-dec.wav"), key=lambda p: p.stat().st_mtime):
            data += path.read_bytes()[44:]  # its length is written only at the end
        return list(struct.unpack(f"<{len(data) // 2}h", data[: len(data) & ~1]))

    def stop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _connect(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise Unavailable(f"baresip ended, see {self._folder / 'out'}")
        try:
            self._socket = socket.create_connection(("127.0.0.1", self._control), 0.2)
        except OSError:
            return False
        self._socket.settimeout(0.1)
        return True

    def _read(self) -> list[dict[str, Any]]:
        """Answers that have come; events are put aside."""
        if self._socket is None:
            raise Unavailable("baresip was not started")
        try:
            self._pending += self._socket.recv(65_536)
        except TimeoutError:
            return []
        answers = []
        while b":" in self._pending:
            size, _, rest = self._pending.partition(b":")
            if len(rest) <= int(size):
                break
            message = json.loads(rest[: int(size)])
            self._pending = rest[int(size) + 1 :]
            if message.get("event"):
                self.events.append(message)
            else:
                answers.append(message)
        return answers

    def _config(self) -> str:
        modules = ("g711", "aufile", "aubridge", "sndfile", "ctrl_tcp", "account", "contact", "menu", "uuid")
        lines = [
            f"sip_listen {self.address}:{self.port}",
            f"net_interface {self.address}",
            f"audio_source aufile,{self._folder / 'tone.wav'}",
            "audio_player aubridge,nobody",  # takes samples in time, as a loudspeaker would
            "audio_srate 8000-8000",
            "audio_channels 1-1",
            f"rtp_ports {self.media[0]}-{self.media[1]}",
            f"snd_path {self._folder}",
            f"ctrl_tcp_listen 127.0.0.1:{self._control}",
            f"module_path {_MODULES}",
            *(f"module {name}.so" for name in modules if (_MODULES / f"{name}.so").exists()),
        ]
        return "\n".join(lines) + "\n"
