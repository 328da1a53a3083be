"""Agents that speak TLS, as small as can be: Debian 12's SIPp does not."""

import datetime
import ipaddress
import re
import socket
import ssl
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from qibai.core.numbering import Msisdn, Number700


def make_certificate(folder: Path, address: str = "") -> tuple[Path, Path]:
    """A self-signed certificate, of this address if one is given, and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "qibai test")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder()
    if address:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = builder.add_extension(names, critical=False)
    certificate = (
        builder.subject_name(name)
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


class _Agent:
    """One side of a call on one TLS connection; ``received`` holds every message that came."""

    def __init__(self, number: Msisdn) -> None:
        self._number = number
        self._buffer = b""
        self._socket: ssl.SSLSocket
        self.received: list[str] = []

    def _read(self) -> str:
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, _ = self._buffer.partition(b"\r\n\r\n")
        found = re.search(rb"\r\nContent-Length: ([0-9]+)", head)
        end = len(head) + 4 + (int(found[1]) if found else 0)
        while len(self._buffer) < end:
            self._more()
        message, self._buffer = self._buffer[:end].decode(), self._buffer[end:]
        self.received.append(message)
        return message

    def _more(self) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("the platform closed the connection")
        self._buffer += data

    def _write(self, lines: list[str]) -> None:
        self._socket.sendall(("\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n").encode())

    def _answer(self, request: str, status: str = "200 OK", contact: str = "") -> None:
        kept = [
            line for line in request.split("\r\n") if line.startswith(("Via:", "From:", "Call-ID:", "CSeq:"))
        ]
        (to,) = re.findall(r"^To: .*(?=\r$)", request, re.MULTILINE)
        lines = [f"SIP/2.0 {status}", *kept, to if ";tag=" in to else f"{to};tag=callee"]
        self._write([*lines, f"Contact: <{contact}>"] if contact else lines)


class TlsCaller(_Agent):
    """Calls, and hangs up or waits for the BYE."""

    def __init__(
        self, local: str, server: tuple[str, int], certificate: Path, number: Msisdn, key: Path | None = None
    ) -> None:
        """``key``: prove who we are with the certificate, too."""
        super().__init__(number)
        context = ssl.create_default_context(cafile=str(certificate))
        context.check_hostname = False
        if key is not None:
            context.load_cert_chain(certificate, key)
        plain = socket.create_connection(server, timeout=10, source_address=(local, 0))
        self._socket = context.wrap_socket(plain)
        self._server = server
        self._local = f"{local}:{self._socket.getsockname()[1]}"

    def call(self, called: Number700) -> tuple[str, str]:
        """INVITE and ACK; (target, To) of further requests. Raise AssertionError when it is not answered."""
        host, port = self._server
        to = f"<sip:{called}@{host}:{port};transport=tls>"
        self._send("INVITE", to[1:-1], to, 1)
        answer = self._final(200)
        found = re.search(r"^To: (.*)\r$", answer, re.MULTILINE), re.search(r"^Contact: <(.*)>", answer, re.M)
        assert found[0] and found[1]
        assert ";transport=tls;" in found[1][1]
        self._send("ACK", found[1][1], found[0][1], 1)
        return found[1][1], found[0][1]

    def hang_up(self, target: str, to: str) -> None:
        self._send("BYE", target, to, 2)
        self._final(200)
        self._socket.close()

    def wait_for_bye(self) -> None:
        request = self._read()
        assert request.startswith("BYE "), request
        self._answer(request)
        self._socket.close()

    def _send(self, method: str, target: str, to: str, cseq: int) -> None:
        self._write(
            [
                f"{method} {target} SIP/2.0",
                f"Via: SIP/2.0/TLS {self._local};rport;branch=z9hG4bK{method}{cseq}",
                f"From: <sip:{self._number}@{self._local}>;tag=tls",
                f"To: {to}",
                f"Call-ID: tls@{self._local}",
                f"CSeq: {cseq} {method}",
                f"Contact: <sip:{self._number.national}@{self._local};transport=tls>",
                "Max-Forwards: 70",
            ]
        )

    def _final(self, status: int) -> str:
        while (message := self._read()).startswith("SIP/2.0 1"):
            pass
        assert message.startswith(f"SIP/2.0 {status} "), message
        return message


class TlsCallee(_Agent):
    """Takes one connection, answers whatever is asked on it, and ends with the BYE; a context manager."""

    def __init__(self, at: tuple[str, int], certificate: Path, key: Path, number: Msisdn) -> None:
        super().__init__(number)
        self._at = at
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
        self._context.load_cert_chain(certificate, key)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(at)
        self._listener.settimeout(15)
        self._thread = threading.Thread(target=self._serve)
        self.set_up = threading.Event()

    def __enter__(self) -> "TlsCallee":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        plain, _ = self._listener.accept()
        plain.settimeout(15)
        with self._context.wrap_socket(plain, server_side=True) as self._socket:
            contact = f"sip:{self._number.national}@{self._at[0]}:{self._at[1]};transport=tls"
            while True:
                request = self._read()
                method = request.partition(" ")[0]
                if method == "INVITE":
                    self._answer(request, "180 Ringing", contact)
                    self._answer(request, contact=contact)
                elif method == "ACK":
                    self.set_up.set()
                else:
                    self._answer(request)
                if method == "BYE":
                    return
