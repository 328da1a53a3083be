"""Search packets, logs and files for the other party's number or address, in any encoding.

A `LeakChecker` knows what one side must not learn (numbers, addresses) and what that side knows itself (its
own number, the 700 number, Call-IDs), because what is XORed with something known is no secret.
"""

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from qibai.core.numbering import Msisdn
from qibai.testing.capture import Packet, streams

_DEPTH: Final = 3  #: how many encodings may lie inside one another
_WINDOW: Final = 9  #: so many of a number's eleven digits in a row are a leak
_KEY: Final = 5  #: bytes of a needle that the index looks up; no needle is shorter

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{7,}")
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{10,}")
_SPACED_HEX: Final = re.compile(rb"[0-9A-Fa-f]{2}(?:[ :\-][0-9A-Fa-f]{2}){4,}")
_ESCAPES: Final = (
    re.compile(rb"=([0-9A-Fa-f]{2})"),
    re.compile(rb"\\u00([0-9A-Fa-f]{2})"),
    re.compile(rb"\\x([0-9A-Fa-f]{2})"),
)
_QUOTED_PAIR: Final = re.compile(rb"\\(.)")
_SEPARATORS: Final = b" \t-.()/_,;:\x00\xa0"


@dataclass(frozen=True, slots=True)
class Leak:
    """One finding; ``secret`` is a label, so that a report can be printed."""

    secret: str
    encoding: str
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.secret} as {self.encoding}"


@dataclass(slots=True)
class LeakChecker:
    """Build with what must stay hidden from one side, then ``scan`` what that side saw."""

    numbers: dict[str, Msisdn] = field(default_factory=dict)  #: label → number
    addresses: dict[str, str] = field(default_factory=dict)  #: label → IPv4 address
    known: list[bytes] = field(default_factory=list)  #: what this side knows, for XOR
    _index: dict[bytes, list[tuple[bytes, str, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for label, number in self.numbers.items():
            for encoding, needle in _number_needles(number):
                self._add(needle, label, encoding)
            for form in (number.national, number.e164, number.e164[1:]):
                self._add_xor(form.encode(), label)
        for label, address in self.addresses.items():
            octets = bytes(int(part) for part in address.split("."))
            text = address.encode()
            self._add(text[::-1], label, "reversed text")
            self._add(f"{int.from_bytes(octets, 'big')}".encode(), label, "integer")
            self._add_xor(text, label)

    def _add(self, needle: bytes, label: str, encoding: str) -> None:
        entries = self._index.setdefault(needle[:_KEY], [])
        if all(known != needle for known, _, _ in entries):
            entries.append((needle, label, encoding))

    def _add_xor(self, secret: bytes, label: str) -> None:
        """Needles for ``secret`` XOR each stretch of what is known, which may repeat as a key does."""
        for known in self.known:
            ring = known * (len(secret) // max(len(known), 1) + 2)
            for start in range(len(known)):
                needle = bytes(a ^ b for a, b in zip(secret, ring[start:], strict=False))
                # numbers that begin alike XOR to zeros, which any binary data holds
                if len(set(needle)) >= 5 and sum(b == 0 for b in needle) <= len(needle) // 2:
                    self._add(needle, label, "XOR with what this side knows")

    def scan(self, data: bytes, where: str) -> list[Leak]:
        """Every secret found in ``data``, each (secret, encoding) once."""
        found: dict[tuple[str, str], Leak] = {}
        for way, view in _views(data, _DEPTH):
            for label, encoding in self._look(view):
                name = f"{encoding} in {way}" if way else encoding
                found.setdefault((label, name), Leak(label, name, where))
        return list(found.values())

    def _look(self, view: bytes) -> Iterator[tuple[str, str]]:
        index = self._index
        for at in range(len(view) - _KEY + 1):
            entries = index.get(view[at : at + _KEY])
            if entries is not None:
                for needle, label, encoding in entries:
                    if view.startswith(needle, at):
                        yield label, encoding
        for label, address in self.addresses.items():
            if re.search(rb"(?<![0-9])" + re.escape(address.encode()) + rb"(?![0-9])", view):
                yield label, "text"
            if bytes(int(part) for part in address.split(".")) in view:
                yield label, "four bytes"

    def scan_packets(self, packets: Iterable[Packet], side: str) -> list[Leak]:
        """Search payloads, TCP streams, and the addresses that the packets themselves travel between."""
        leaks: list[Leak] = []
        taken = list(packets)
        for number, packet in enumerate(taken, 1):
            where = f"{side}, packet {number} {packet.proto} {packet.sport}→{packet.dport}"
            for label, address in self.addresses.items():
                if address in (packet.src, packet.dst):
                    leaks.append(Leak(label, "the packet's own address", where))
            leaks += self.scan(packet.payload, where)
        for (_, sport, _, dport), stream in streams(taken).items():
            leaks += self.scan(stream, f"{side}, TCP stream {sport}→{dport}")
        return leaks

    def scan_files(self, paths: Iterable[Path]) -> list[Leak]:
        """Search files and folders (logs, spool, database pages) for numbers written out or packed.

        Decodings that only make sense for short messages are left out: a database is read in seconds.
        """
        leaks: list[Leak] = []
        for path in paths:
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    leaks += self._scan_pages(file)
        return leaks

    def scan_text(self, *texts: str, where: str = "text") -> list[Leak]:
        """Search lines: metrics, problem bodies, logs."""
        return [leak for text in texts for leak in self.scan(text.encode(), where)]

    def _scan_pages(self, file: Path) -> list[Leak]:
        try:
            data = file.read_bytes()
        except FileNotFoundError:  # the server removed it meanwhile
            return []
        found: dict[tuple[str, str], Leak] = {}
        for label, number in self.numbers.items():
            for encoding, needle in _number_needles(number):
                if needle in data:
                    found.setdefault((label, encoding), Leak(label, encoding, str(file)))
            for encoding, needle in _text_needles(number):
                if needle in data:
                    found.setdefault((label, encoding), Leak(label, encoding, str(file)))
        return list(found.values())


def _number_needles(number: Msisdn) -> Iterator[tuple[str, bytes]]:
    """How a number may look once outer encodings are off: digits, packed digits, an integer."""
    digits = number.national
    for start in range(len(digits) - _WINDOW + 1):
        window = digits[start : start + _WINDOW]
        yield "digits", window.encode()
        yield "reversed digits", window[::-1].encode()
    for encoding, text in (("BCD", digits), ("reversed BCD", digits[::-1])):
        for start in (0, 1):
            pairs = [text[i : i + 2] for i in range(start, start + 10, 2)]
            yield encoding, bytes.fromhex("".join(pairs))
            yield f"{encoding}, nibbles swapped", bytes.fromhex("".join(pair[::-1] for pair in pairs))
    for value in (int(digits), int("86" + digits)):
        size = (value.bit_length() + 7) // 8
        yield "integer, big-endian", value.to_bytes(size, "big")
        yield "integer, little-endian", value.to_bytes(size, "little")
        yield "integer in hex", f"{value:x}".encode()
        yield "integer in hex", f"{value:X}".encode()


def _text_needles(number: Msisdn) -> Iterator[tuple[str, bytes]]:
    """What encodings of text make of the digits; for files too large to be decoded every way."""
    digits = number.national.encode()
    yield "hex", digits.hex().encode()
    yield "hex", digits.hex().upper().encode()
    yield "UTF-16", number.national.encode("utf-16-le")
    yield "%-escapes", b"".join(b"%%%02x" % d for d in digits)
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + digits)
        yield "base64", whole[(0, 2, 3)[shift] : -4]


def _views(data: bytes, depth: int) -> Iterator[tuple[str, bytes]]:
    """``data`` itself and what comes out when an encoding is taken off, with that encoding's name."""
    yield "", data
    squeezed = data.translate(None, _SEPARATORS)
    if squeezed != data:
        yield "separators or UTF-16", squeezed
    if depth == 0:
        return
    for way, inner in _decoded(data):
        for deeper, view in _views(inner, depth - 1):
            yield f"{way}, {deeper}" if deeper else way, view


def _decoded(data: bytes) -> Iterator[tuple[str, bytes]]:
    if b"%" in data and (plain := unquote_to_bytes(data)) != data:
        yield "%-escapes", plain
    for pattern in _ESCAPES:
        plain = pattern.sub(_unhex, data)
        if plain != data:
            yield "escapes", plain
    if b"\\" in data:
        yield "quoted pairs", _QUOTED_PAIR.sub(rb"\1", data)
    if b"&#" in data:
        yield "entities", html.unescape(data.decode("utf-8", "replace")).encode()
    if not data.isascii():
        text = data.decode("utf-8", "ignore")
        folded = "".join(str(unicodedata.decimal(ch, ch)) for ch in text).encode()
        if folded != text.encode():
            yield "other scripts' digits", folded
    for found in _HEX.finditer(data):
        for start in (0, 1):
            run = found[0][start:]
            yield "hex", bytes.fromhex(run[: len(run) & ~1].decode())
    for found in _SPACED_HEX.finditer(data):
        yield "hex", bytes.fromhex(re.sub(rb"[ :\-]", b"", found[0]).decode())
    for found in _BASE64.finditer(data):
        run = found[0].translate(bytes.maketrans(b"-_", b"+/"))
        for start in range(4):
            part = run[start:]
            part = part[:-1] if len(part) % 4 == 1 else part
            yield "base64", binascii.a2b_base64(part + b"=" * (-len(part) % 4))


def _unhex(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[1].decode())
