"""Who listens on a port: looked at in the kernel's tables, and tried.

A port is tried without SO_REUSEADDR and SO_REUSEPORT over UDP, as with them two programs share it in silence.
"""

import errno
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import psutil

from qibai.settings.needed import MediaRange, NeededPort

_MARK: Final = b"QIBAI_PART_OF="
_RTPENGINE: Final = "rtpengine"


def addresses(host: str) -> list[str]:
    """The addresses that ``host`` stands for. Raise OSError when it stands for none."""
    with suppress(ValueError):
        return [str(ip_address(host))]
    return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, None)))


def overlap(one: str, other: str) -> bool:
    """Whether who listens on address ``one`` gets what is sent to ``other``, or the other way round."""
    a, b = ip_address(one.partition("%")[0]), ip_address(other.partition("%")[0])
    a, b = getattr(a, "ipv4_mapped", None) or a, getattr(b, "ipv4_mapped", None) or b
    if a == b or str(a) == "::" or str(b) == "::":  # a socket on :: may take IPv4 too
        return True
    return a.version == b.version and (a.is_unspecified or b.is_unspecified)


def listeners(port: NeededPort) -> list[int | None]:
    """The processes that listen where ``port`` is; None stands for one that this user cannot see."""
    with suppress(OSError):
        hosts = addresses(port.host)
        return list(
            dict.fromkeys(
                found.pid
                for found in psutil.net_connections(port.transport)
                if found.laddr
                and found.laddr.port == port.number
                and (port.transport == "udp" or found.status == psutil.CONN_LISTEN)
                and any(overlap(found.laddr.ip, host) for host in hosts)
            )
        )
    return []


def refusal(port: NeededPort) -> str:
    """Why ``port`` cannot be opened now; "" when it can."""
    others = listeners(port)
    if not others:
        try:
            for host in addresses(port.host):
                _try(port, host)
        except OSError as exc:
            if exc.errno == errno.EADDRNOTAVAIL:
                return f"{port.host} is not an address of this machine"
            if exc.errno == errno.EACCES:
                return f"{port} needs rights that this user has not got"
            if isinstance(exc, socket.gaierror):
                return f"the name {port.host} stands for no address"
            if exc.errno != errno.EADDRINUSE:
                return f"{port} cannot be opened: {exc.strerror}"
            others = listeners(port) or [None]
    return f"{port} is used by {named(others)}" if others else ""


def _try(port: NeededPort, host: str) -> None:
    kind = socket.SOCK_DGRAM if port.transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as sock:
        if port.transport == "tcp":  # connections that have just ended are no listeners
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in host:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port.number))
        if port.transport == "tcp":
            sock.listen(1)


def hold(ports: Iterable[NeededPort]) -> list[socket.socket]:
    """Keep the UDP ports of a part that is away from strangers: what is sent there reaches nobody."""
    held = []
    for port in ports:
        if port.transport == "udp":
            with suppress(OSError):
                for host in addresses(port.host):
                    family = socket.AF_INET6 if ":" in host else socket.AF_INET
                    sock = socket.socket(family, socket.SOCK_DGRAM)
                    held.append(sock)
                    sock.bind((host, port.number))
                    sock.connect((host, port.number))  # it now takes from itself alone
    return held


def trouble(ports: Iterable[NeededPort], leader: int) -> str:
    """Why the part whose first process is ``leader`` has not these ports for itself; "" when it has."""
    for port in ports:
        found = listeners(port)
        strangers = [pid for pid in found if not _is_of(pid, leader)]
        if strangers:
            return f"{port} is used by {named(strangers)}"
        if not found:
            return f"it does not listen on {port} yet"
    return ""


def media_refusal(media: MediaRange) -> str:
    """Which other rtpengine relays media on some of these ports; "" when none does.

    Two of them would open one port, and each might hear what was sent to the other.
    """
    for process in psutil.process_iter(["pid", "name", "cmdline"]):
        if process.info["name"] != _RTPENGINE or not _same_network(process.info["pid"]):
            continue
        least, most, hosts = _range_of(process.info["cmdline"] or [])
        here = not hosts or any(overlap(host, media.host) for host in hosts)
        if here and least <= media.most and media.least <= most:
            return f"UDP ports {least} to {most} of {media.host} are used by {named([process.info['pid']])}"
    return ""


def _range_of(command: list[str]) -> tuple[int, int, list[str]]:
    """The ports and addresses of an rtpengine, as its command line says; else its defaults."""
    options = dict(word.partition("=")[::2] for word in command if word.startswith("--"))
    hosts = []
    for word in command:
        if word.startswith("--interface="):
            at = word.partition("=")[2].rpartition("/")[2].partition("!")[0]
            with suppress(ValueError):
                hosts.append(str(ip_address(at)))
    with suppress(ValueError):
        return int(options.get("--port-min", 30_000)), int(options.get("--port-max", 40_000)), hosts
    return 30_000, 40_000, hosts


def named(pids: Iterable[int | None]) -> str:
    """The first of these processes in words: its program, number and, if it is Qibai's, home."""
    for pid in pids:
        if pid is None:
            continue
        with suppress(psutil.Error):
            home = home_of(pid)
            return f"{psutil.Process(pid).name()} (process {pid})" + (
                f" of the Qibai platform in {home}" if home else ""
            )
    return "a process of another user"


def home_of(pid: int) -> Path | None:
    """The home of the platform that a process belongs to; None: it is none of ours, or cannot be seen."""
    with suppress(OSError):
        for word in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if word.startswith(_MARK):
                return Path(os.fsdecode(word.removeprefix(_MARK)))
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = entry.readlink()
                if target.name == "supervisor.pid" and target.parent.name == "run":
                    return target.parent.parent
    return None


def _is_of(pid: int | None, leader: int) -> bool:
    """Whether a process is of the group that ``leader`` leads, or descends from ``leader``."""
    if pid is None:
        return False
    with suppress(OSError, psutil.Error):
        if leader in (pid, os.getpgid(pid)):
            return True
        return any(one.pid == leader for one in psutil.Process(pid).parents())
    return False


def _same_network(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink()
    return False


def unix_names() -> Iterator[str]:
    """The names of abstract Unix sockets in this network namespace."""
    for line in Path("/proc/net/unix").read_text("utf-8", "replace").splitlines()[1:]:
        name = line.rpartition(" ")[2]
        if name.startswith("@"):
            yield name[1:]
