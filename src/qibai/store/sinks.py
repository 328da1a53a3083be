"""Where anchors go besides the home: to a syslog server (RFC 5424), to a URL, or to both.

``audit.sinks`` in the home says how that went, for ``doctor`` and ``/metrics``.
"""

import fcntl
import os
import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import msgspec
import structlog

from qibai.config import AuditConfig, Config
from qibai.core.errors import AuditUnanchored
from qibai.core.trail import Point
from qibai.files import replace_file

_PRIORITY: Final = 13 * 8 + 5  #: facility log audit, severity notice
_log: Final = structlog.get_logger("qibai.audit")


class SinkState(msgspec.Struct, frozen=True):
    """How a sink does: ``failures`` since ever; ``error`` of the last try, "" when it went well."""

    failures: int = 0
    error: str = ""
    at: datetime | None = None  #: of the last failure


def states(home: Path) -> dict[str, SinkState]:
    """Each sink's state by its name; a sink that never failed may be missing."""
    try:
        return msgspec.json.decode((home / "audit.sinks").read_bytes(), type=dict[str, SinkState])
    except (OSError, msgspec.MsgspecError):
        return {}


class Sinks:
    """All that are configured."""

    def __init__(self, config: AuditConfig, home: Path) -> None:
        self._config, self._home = config, home

    @classmethod
    def of(cls, config: Config) -> "Sinks | None":
        """None: there are none."""
        return cls(config.audit, config.home) if config.audit.syslog or config.audit.http else None

    @property
    def required(self) -> bool:
        """Whether acts are refused when a sink does not take their anchors."""
        return self._config.required

    def send(self, points: Sequence[Point], node: str) -> None:
        """To all sinks. Raise AuditUnanchored when one of them cannot be reached, after having tried all."""
        failed = []
        for name, target, way in (
            ("syslog", self._config.syslog, self._syslog),
            ("http", self._config.http, self._http),
        ):
            if not target:
                continue
            error = ""
            try:
                way(points, node)
            except (OSError, URLError) as exc:
                error = _reason(exc)
                failed.append(f"{name} ({error})")
                _log.error("no anchor at a sink", sink=name, error=error)
            _note(self._home, name, error)
        if failed:
            raise AuditUnanchored(f"the audit trail's sink does not answer: {', '.join(failed)}")

    def _syslog(self, points: Sequence[Point], node: str) -> None:
        url = urlsplit(self._config.syslog)
        host, port = url.hostname or "", url.port or (6514 if url.scheme == "tls" else 514)
        lines = [_rfc5424(point, node) for point in points]
        if url.scheme == "udp":
            family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, kind, proto) as sock:
                sock.connect(address)
                for line in lines:
                    sock.send(line)
            return
        with socket.create_connection((host, port), timeout=self._config.timeout_s) as sock:
            framed = b"".join(b"%d %b" % (len(line), line) for line in lines)  # RFC 6587, RFC 5425
            if url.scheme == "tls":
                context = ssl.create_default_context(cafile=self._config.ca or None)
                with context.wrap_socket(sock, server_hostname=host) as secure:
                    secure.sendall(framed)
                    secure.unwrap()
            else:
                sock.sendall(framed)
                sock.shutdown(socket.SHUT_WR)

    def _http(self, points: Sequence[Point], node: str) -> None:
        context = None
        if self._config.http.startswith("https:"):
            context = ssl.create_default_context(cafile=self._config.ca or None)
        for point in points:
            body = {"node": node, "seq": point.seq, "hash": point.hash.hex(), "anchor": str(point)}
            request = Request(  # noqa: S310  # the configuration allows http and https
                self._config.http,
                msgspec.json.encode(body),
                {"Content-Type": "application/json"},
                method="POST",
            )
            with urlopen(request, timeout=self._config.timeout_s, context=context):  # noqa: S310  # as above
                pass


def _rfc5424(point: Point, node: str) -> bytes:
    """One message; 32473 is the enterprise number for examples (RFC 5612), as the project has none."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    host = "".join(char for char in node if "!" <= char <= "~")[:255] or "-"
    data = f'[anchor@32473 seq="{point.seq}" hash="{point.hash.hex()}"]'
    return f"<{_PRIORITY}>1 {at} {host} qibai {os.getpid()} anchor {data} {point}".encode()


def _reason(exc: Exception) -> str:
    inner = exc.reason if isinstance(exc, URLError) else exc
    status = getattr(exc, "code", None)
    return f"HTTP {status}" if isinstance(status, int) else type(inner).__name__


def _note(home: Path, name: str, error: str) -> None:
    """Count a failure, or note that the sink answers again; when that cannot be noted, it is logged."""
    path = home / "audit.sinks"
    before = states(home).get(name, SinkState())
    if not error and not before.error:
        return
    try:
        with os.fdopen(os.open(home / ".audit.sinks.lock", os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = states(home)
            last = known.get(name, SinkState())
            at = datetime.now(UTC) if error else last.at
            known[name] = SinkState(last.failures + bool(error), error, at)
            if os.geteuid() == 0:
                owner = home.stat()
                os.fchown(lock.fileno(), owner.st_uid, owner.st_gid)
            replace_file(path, msgspec.json.encode(known) + b"\n", owner_of=home)
    except OSError as exc:
        _log.error("state of a sink not noted", sink=name, error=type(exc).__name__)
