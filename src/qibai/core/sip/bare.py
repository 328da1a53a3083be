"""What a reply needs of a request that is not read."""

import re
from typing import Final

_HEADER: Final = re.compile(r"(via|v|from|f|to|t|call-id|i|cseq)[ \t]*:", re.IGNORECASE)
_MANY: Final = frozenset(("via", "v"))
_LONG: Final = {"f": "from", "t": "to", "i": "call-id"}
_FOLD: Final = re.compile(r"[ \t]*\r?\n[ \t]+")


def bare_request(text: str) -> str:
    """``text`` without its body and all headers but Via, From, To, Call-ID and CSeq: each but Via once.

    Whoever refuses a request for a header that stands twice, or is none, can answer what is left.
    """
    head = _FOLD.sub(" ", re.split(r"\r?\n\r?\n", text.lstrip("\r\n"), maxsplit=1)[0])
    first, *lines = head.splitlines()
    kept, seen = [first], set()
    for line in lines:
        found = _HEADER.match(line)
        name = found[1].lower() if found else ""
        name = _LONG.get(name, name)
        if found and (name in _MANY or name not in seen):
            seen.add(name)
            kept.append(line)
    return "\r\n".join([*kept, "Content-Length: 0", "", ""])
