"""Does a part answer? Each probe takes a second at most and says yes or no."""

import http.client
import json
import re
import secrets
import socket
import ssl
import time
from datetime import datetime
from pathlib import Path
from typing import Final

from qibai.config import Config
from qibai.core.sip import uri_host

TIMEOUT_S: Final = 1.0
GATEWAY_ALONE_S: Final = 10.0
_VIA: Final = "127.0.0.1"


def media_answers(config: Config) -> bool:
    """rtpengine answers a ping on its control port."""
    cookie = secrets.token_hex(4).encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        try:
            sock.sendto(cookie + b" d7:command4:pinge", ("127.0.0.1", config.voice.media_ng_port))
            return b"pong" in sock.recv(2048)
        except OSError:
            return False


def voice_answers(config: Config) -> bool:
    """Kamailio answers OPTIONS."""
    return sip_status(config) is not None


def sip_status(config: Config) -> int | None:
    """The status of Kamailio's answer to OPTIONS; None: no answer."""
    voice = config.voice
    use_udp = bool(voice.udp_port)
    port = voice.udp_port or voice.tcp_port or voice.tls_port
    kind = socket.SOCK_DGRAM if use_udp else socket.SOCK_STREAM
    family = socket.AF_INET6 if ":" in voice.host else socket.AF_INET
    try:
        with socket.socket(family, kind) as sock:
            sock.settimeout(TIMEOUT_S)
            sock.connect((voice.host, port))
            if not use_udp and not voice.tcp_port:
                return 200  # a TLS port that takes connections; its answer would need a client's certificate
            host, own_port = sock.getsockname()[:2]
            sock.send(_options(voice.host, port, host, own_port, "UDP" if use_udp else "TCP"))
            found = re.match(rb"SIP/2\.0 ([1-6][0-9]{2}) ", sock.recv(4096))
            return int(found[1]) if found else None
    except OSError:
        return None


def gateway_file(config: Config) -> Path:
    """Where the gateway says each second how it is doing."""
    return config.run_dir / "gateway.json"


def gateway_works(config: Config) -> bool:
    """The gateway runs, and has the store and Kamailio; after a while it does without them, as it must."""
    try:
        said = json.loads(gateway_file(config).read_bytes())
        age = time.time() - datetime.fromisoformat(said["started_at"]).timestamp()
        inside = [link["state"] for link in said["links"] if link["protocol"] == "sip"]
        return age > GATEWAY_ALONE_S or (said["store_up"] and all(state == "up" for state in inside))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def api_status(config: Config, path: str = "/healthz") -> int | None:
    """The API's HTTP status for ``path``; None: no answer."""
    api = config.api
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(api.host, api.host)  # noqa: S104
    conn: http.client.HTTPConnection
    if api.tls_cert:
        context = ssl.create_default_context()
        context.check_hostname = False  # this machine's own port; its name is not what is in question
        context.verify_mode = ssl.CERT_NONE
        conn = http.client.HTTPSConnection(host, api.port, timeout=TIMEOUT_S, context=context)
    else:
        conn = http.client.HTTPConnection(host, api.port, timeout=TIMEOUT_S)
    try:
        conn.request("GET", path)
        return conn.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        conn.close()


def api_answers(config: Config) -> bool:
    """The API is up, whether or not its store is."""
    return api_status(config) == 200


def _options(host: str, port: int, own: str, own_port: int, transport: str) -> bytes:
    tag = secrets.token_hex(6)
    at, me = uri_host(host), uri_host(own)
    return (
        f"OPTIONS sip:{at}:{port} SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} {me}:{own_port};branch=z9hG4bK{tag};rport\r\n"
        f"From: <sip:probe@{me}>;tag={tag}\r\nTo: <sip:{at}>\r\nCall-ID: {tag}@{me}\r\nCSeq: 1 OPTIONS\r\n"
        f"Max-Forwards: 10\r\nContact: <sip:probe@{me}:{own_port}>\r\nContent-Length: 0\r\n\r\n"
    ).encode()
