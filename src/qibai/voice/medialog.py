"""rtpengine's log without the addresses of the parties.

rtpengine puts the marks of its command line around what it holds for sensitive: addresses, and ids of calls.
"""

import re
from ipaddress import ip_address
from typing import Final

PREFIX: Final = "<["  #: before what is sensitive
SUFFIX: Final = "]>"

_MARKED: Final = re.compile(rf"{re.escape(PREFIX)}(.*?){re.escape(SUFFIX)}")
_OUR_ID: Final = re.compile(r"c[0-9A-Za-z_\-]*", re.ASCII)
_ADDRESS: Final = re.compile(
    r"(?<![0-9A-Za-z.:])(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)"
)


class MediaLogFilter:
    """Call with each line in turn; gives what may be shown of it."""

    def __init__(self, host: str) -> None:
        """``host``: our own address for media, which may be shown."""
        self._own = ip_address(host)

    def __call__(self, line: str) -> str | None:
        line = _MARKED.sub(lambda found: found[1] if _OUR_ID.fullmatch(found[1]) else "…", line)
        return _ADDRESS.sub(self._shown, line)

    def _shown(self, found: re.Match[str]) -> str:
        text = found[0].rstrip(":.")
        try:
            address = ip_address(text)
        except ValueError:
            return found[0]
        if address == self._own:
            return found[0]
        return "…" + found[0][len(text) :]
