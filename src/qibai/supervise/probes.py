"""Does a part answer? Each probe takes a second at most and says yes or no."""

import http.client
import json
import re
import socket
import ssl
import time
from datetime import datetime
from pathlib import Path
from typing import Final

from qibai.config import Config
from qibai.core.sip import Endpoint, uri_host
from qibai.core.sip.own import new_branch, write_options
from qibai.voice import mediacheck

TIMEOUT_S: Final = 1.0
GATEWAY_ALONE_S: Final = 10.0
_VIA: Final = "127.0.0.1"


def media_answers(config: Config) -> bool:
    """rtpengine answers a ping on its control port."""
    return mediacheck.answers(config.voice.media_ng_port, TIMEOUT_S)


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
            here = Endpoint(uri_host(host), own_port, "udp" if use_udp else "tcp")
            sock.send(write_options(here, "probe", (voice.host, port), new_branch()))
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
