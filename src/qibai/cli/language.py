"""In which language the command line speaks: Chinese where the user's settings say so."""

import os
from collections.abc import Mapping
from typing import Final

from qibai.core.errors import QibaiError

_SETTINGS: Final = ("QIBAI_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


def speaks_chinese(environ: Mapping[str, str] | None = None) -> bool:
    """The first of QIBAI_LANG, LC_ALL, LC_MESSAGES and LANG that is set decides."""
    env = os.environ if environ is None else environ
    said = next((env[name] for name in _SETTINGS if env.get(name)), "")
    return said.lower().startswith("zh")


def local(text: str) -> str:
    """The text in the user's language."""
    if not speaks_chinese():
        return text
    from qibai.core.catalogue import chinese  # noqa: PLC0415  # few need it

    return chinese(text)


def said_in_chinese(code: str, message: str) -> str:
    """An error's message in Chinese."""
    from qibai.core.chinese import in_chinese  # noqa: PLC0415  # few need it

    return in_chinese(code, message, _usual(code))


def _usual(code: str) -> str:
    kinds = [QibaiError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if kind.code == code:
            return kind.usual()
    return ""
