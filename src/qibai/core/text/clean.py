"""Characters that belong to no text: what cannot be kept or shown is taken out at the door."""

import re
from typing import Final

from qibai.core.errors import BadText

#: Controls but tab, line feed, form feed and carriage return; characters that Unicode says are none.
_REMOVED: Final = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def cleaned(text: str) -> str:
    """``text`` without control characters, NUL among them. Raise BadText where half a character stands."""
    if _SURROGATE.search(text):
        raise BadText("the text has an incomplete character")
    return _REMOVED.sub("", text)
