"""HTTP for the client that waits, on the standard library: it is imported in a few milliseconds."""

import base64
import os
import select
import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection, InvalidURL
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from qibai.client.errors import NoAnswer

_KEPT: Final = 32  #: idle connections at most; a program with more threads opens others


class Answer(NamedTuple):
    """What came back, whole."""

    status: int
    body: bytes
    retry_after: str | None


class Transport:
    """Requests to one address, from any thread. Connections are kept while the server keeps them.

    Proxies are those of the environment (``http_proxy``, ``https_proxy``, ``all_proxy``, ``no_proxy``).
    """

    def __init__(self, url: str, *, timeout_s: float, verify: bool | str) -> None:
        """Raise ValueError when ``url`` is no address, or when the environment names an unusable proxy."""
        parts, self._host, self._port = split_address(url)
        self._tls = parts.scheme == "https"
        self._prefix = parts.path.rstrip("/")
        self._origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._proxy = _proxy_for(parts.scheme, self._host, self._port)
        self._timeout_s = timeout_s
        self._context = _context(verify) if self._tls else None
        self._idle: list[HTTPConnection] = []

    def request(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Raise NoAnswer when no whole answer came in time, InvalidURL when ``target`` cannot be sent."""
        connection = self._kept() or self._open()
        where = self._prefix + target
        if self._proxy is not None and not self._tls:
            where = self._origin + where
            headers = headers | self._proxy.headers
        keep = False
        try:
            connection.request(method, where, body or None, headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.read(), response.headers.get("Retry-After"))
            keep = not response.will_close and len(self._idle) < _KEPT
        except InvalidURL:
            raise
        except (OSError, HTTPException) as exc:
            raise NoAnswer(method, target, getattr(exc, "verify_message", None)) from exc
        finally:
            if keep:
                self._idle.append(connection)
            else:
                connection.close()
        return answer

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()

    def _kept(self) -> HTTPConnection | None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread may have been faster
                return None
            if connection.sock is not None and not _has_input(connection.sock.fileno()):
                return connection
            connection.close()  # the server has closed it, or says what nobody asked

    def _open(self) -> HTTPConnection:
        host, port = (self._host, self._port) if self._proxy is None else (self._proxy.host, self._proxy.port)
        if self._context is None:
            return HTTPConnection(host, port, timeout=self._timeout_s)
        connection = HTTPSConnection(host, port, timeout=self._timeout_s, context=self._context)
        if self._proxy is not None:
            connection.set_tunnel(self._host, self._port, self._proxy.headers)
        return connection


def split_address(url: str) -> tuple[SplitResult, str, int]:
    """The parts of a platform's address, its host and its port. Raise ValueError when it is no address."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("give an address as https://host:port")
    return parts, parts.hostname, port or (443 if parts.scheme == "https" else 80)


class _Proxy(NamedTuple):
    host: str
    port: int
    headers: dict[str, str]


def _proxy_for(scheme: str, host: str, port: int) -> _Proxy | None:
    """The proxy that the environment names for this host."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib import request  # noqa: PLC0415  # rarely used

    named = request.getproxies_environment()
    found = named.get(scheme) or named.get("all")
    bypass = request.proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it
    if not found or bypass(f"{host}:{port}"):
        return None
    parts = urlsplit(found if "://" in found else f"http://{found}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{scheme}_proxy in the environment: a proxy looks like http://host:port")
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return _Proxy(parts.hostname, parts.port or 80, headers)


def _context(verify: bool | str) -> ssl.SSLContext:
    """``verify``: a file or folder of CAs, True for the system's, False for no check at all."""
    if isinstance(verify, str):
        if os.path.isdir(verify):  # noqa: PTH112  # pathlib takes longer to import than a request takes
            return ssl.create_default_context(capath=verify)
        return ssl.create_default_context(cafile=verify)
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _has_input(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
