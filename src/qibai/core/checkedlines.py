"""Lines of files that outlive crashes: eight hex digits of CRC-32, a space, the body, a newline.

A crash in the middle of a write leaves a line that is torn; its sum shows it. A body holds no newline.
"""

import zlib
from collections.abc import Iterator
from typing import Final

_BODY: Final = 9  #: where it begins


def checked_line(body: bytes) -> bytes:
    """The line of ``body``."""
    return b"%08x %b\n" % (zlib.crc32(body), body)


def bodies_of(lines: bytes) -> Iterator[bytes | None]:
    """The body of each line; None for a line that is damaged. Empty lines do not count."""
    for line in lines.split(b"\n"):
        if not line:
            continue
        body = line[_BODY:]
        try:
            yield body if int(line[: _BODY - 1], 16) == zlib.crc32(body) else None
        except ValueError:
            yield None
