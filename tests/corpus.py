"""The interop corpus: messages as other stacks write them, each with what is to become of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "interop"
_TITLE = re.compile(r"^=== (.+): (passes|[3-6][0-9]{2})\n", re.MULTILINE)
_OCTET = re.compile(rb"\\x([0-9a-f]{2})")


@dataclass(frozen=True)
class Entry:
    """One message."""

    stack: str  #: the name of its file
    title: str
    outcome: str  #: passes, or the status that it is refused with
    data: bytes  #: as it goes over the wire

    @property
    def id(self) -> str:
        return f"{self.stack}: {self.title}"


def corpus() -> Iterator[Entry]:
    """All messages; what stands above the first of a file says what they are written from."""
    for file in sorted(CORPUS.glob("*.sip")):
        _, *pieces = _TITLE.split(file.read_text("utf-8"))
        for title, outcome, text in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
            yield Entry(file.stem, title, outcome, _octets(text))


def _octets(text: str) -> bytes:
    """The line that parts a message from the next is not in it."""
    data = text.removesuffix("\n").replace("\n", "\r\n").encode()
    data = _OCTET.sub(lambda found: bytes.fromhex(found[1].decode()), data)
    head, _, body = data.partition(b"\r\n\r\n")
    return head.replace(b"{length}", str(len(body)).encode()) + b"\r\n\r\n" + body
