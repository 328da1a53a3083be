"""A caller over TLS, as small as can be: SIPp in Debian has no TLS."""

import datetime
import re
import socket
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from qibai.core.numbering import Msisdn, Number700


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "qibai test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


class TlsCaller:
    """One call over one TLS connection; ``received`` holds every message that came."""

    def __init__(self, local: str, server: tuple[str, int], certificate: Path, number: Msisdn) -> None:
        context = ssl.create_default_context(cafile=str(certificate))
        context.check_hostname = False
        plain = socket.create_connection(server, timeout=10, source_address=(local, 0))
        self._socket = context.wrap_socket(plain)
        self._local = f"{local}:{self._socket.getsockname()[1]}"
        self._number = number
        self._buffer = b""
        self.received: list[str] = []

    def call_and_hang_up(self, called: Number700, server: tuple[str, int]) -> None:
        """INVITE, ACK and BYE. Raise AssertionError when a reply is not the expected one."""
        to = f"<sip:{called}@{server[0]}:{server[1]};transport=tls>"
        self._send("INVITE", to[1:-1], to, 1)
        answer = self._final(200)
        found = re.search(r"^To: (.*)\r$", answer, re.MULTILINE), re.search(r"^Contact: <(.*)>", answer, re.M)
        assert found[0] and found[1]
        assert ";transport=tls;" in found[1][1]
        self._send("ACK", found[1][1], found[0][1], 1)
        self._send("BYE", found[1][1], found[0][1], 2)
        self._final(200)
        self._socket.close()

    def _send(self, method: str, target: str, to: str, cseq: int) -> None:
        contact = f"sip:{self._number.national}@{self._local};transport=tls"
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/TLS {self._local};rport;branch=z9hG4bK{method}{cseq}",
            f"From: <sip:{self._number}@{self._local}>;tag=tls",
            f"To: {to}",
            f"Call-ID: tls@{self._local}",
            f"CSeq: {cseq} {method}",
            f"Contact: <{contact}>",
            "Max-Forwards: 70",
            "Content-Length: 0",
        ]
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def _final(self, status: int) -> str:
        while True:
            while b"\r\n\r\n" not in self._buffer:
                self._buffer += self._socket.recv(65_536)
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            found = re.search(rb"\r\nContent-Length: ([0-9]+)", head)
            length = int(found[1]) if found else 0
            while len(rest) < length:
                rest += self._socket.recv(65_536)
            message, self._buffer = (head + b"\r\n\r\n" + rest[:length]).decode(), rest[length:]
            self.received.append(message)
            if not message.startswith("SIP/2.0 1"):
                assert message.startswith(f"SIP/2.0 {status} "), message
                return message
