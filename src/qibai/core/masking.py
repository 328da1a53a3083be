"""Hide real numbers in text that people or logs will see."""

import re
from typing import Final

_MOBILE: Final = re.compile(r"(?<![0-9])((?:\+?86|0086)?)(1[3-9][0-9])[0-9]{4}([0-9]{4})(?![0-9])")


def mask_numbers(text: str) -> str:
    """``text`` with the middle four digits of every mainland mobile number starred; 700 numbers stay."""
    return _MOBILE.sub(r"\1\2****\3", text)
