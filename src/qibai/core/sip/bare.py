"""Messages for a lazy reader, which reads headers in order, as far as it needs, and stops at a bad line."""

import re
from typing import Final

from qibai.core.sip.message import is_via

_HEADER: Final = re.compile(r"(via|v|from|f|to|t|call-id|i|cseq)[ \t]*:", re.IGNORECASE)
_LONG: Final = {"v": "via", "f": "from", "t": "to", "i": "call-id"}
_FOLD: Final = re.compile(r"[ \t]*\r?\n[ \t]+")
_LAST_LINE_END: Final = re.compile(r"\r?\n(?=\r?\n)")
_FOLDED: Final = re.compile(r"[^\n]*\n(?:[ \t][^\n]*\n)*")  # a line, and those that go on with it
_NEEDED: Final = ("via", "from", "to", "call-id", "cseq")


def bare_request(text: str) -> str:
    """``text`` without its body and all headers but Via, From, To, Call-ID and CSeq: each but Via once.

    A Via that cannot be read is left out, too: no reply finds its way by it. Whoever refuses a request for a
    header that stands twice, or is none, can answer what is left.
    """
    head = _FOLD.sub(" ", re.split(r"\r?\n\r?\n", text.lstrip("\r\n"), maxsplit=1)[0])
    first, *lines = head.splitlines()
    kept, seen = [first], set()
    for line in lines:
        name, value = _needed(line)
        if is_via(value) if name == "via" else name and name not in seen:
            seen.add(name)
            kept.append(line)
    return "\r\n".join([*kept, "Content-Length: 0", "", ""])


def needed_first(text: str) -> str:
    """``text`` with its first Via, From, To, Call-ID and CSeq above all other lines, which keep their order.

    Then every line is there still, and a lazy reader sees what it needs before it stops. A Via that cannot be
    read is not the first. What has no empty line is returned as it is.
    """
    end = _LAST_LINE_END.search(text, len(text) - len(text.lstrip("\r\n")))
    if end is None:
        return text
    start, below, lines = text[: end.end()].lstrip("\r\n").partition("\n")
    first, others = dict.fromkeys(_NEEDED, ""), []
    for line in _FOLDED.findall(lines):
        name, value = _needed(_FOLD.sub(" ", line.rstrip("\r\n")))
        if name and not first[name] and (name != "via" or is_via(value)):
            first[name] = line
        elif line.strip():
            others.append(
                line.lstrip(" \t\r\n")
            )  # so that it does not go on with the line that is now above it
    return "".join((start, below, *first.values(), *others, text[end.end() :]))


def _needed(line: str) -> tuple[str, str]:
    """The long name, in lower case, and the value of a header that every reply needs; "" for another line."""
    found = _HEADER.match(line)
    if found is None:
        return "", ""
    name = found[1].lower()
    return _LONG.get(name, name), line[found.end() :].strip(" \t")
