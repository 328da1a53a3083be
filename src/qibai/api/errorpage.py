"""The page ``docs/errors.md``, every stable code in both languages: ``python -m qibai.api.errorpage``."""

import sys
from typing import Final

import qibai.api.errors  # noqa: F401  # its classes have codes as well
from qibai.api.problems import STATUS
from qibai.core.chinese import SENTENCES
from qibai.core.errors import QibaiError

_HOMES: Final = ("qibai.core", "qibai.api")
_HEAD: Final = """\
# Errors · 错误码

Made by `python -m qibai.api.errorpage` from the classes of errors and `src/qibai/core/chinese.py`.

Act on `code`: it never changes its meaning. The HTTP API answers in the language that `Accept-Language`
prefers (`zh` or `en`), the command line in that of `QIBAI_LANG`, else `LC_ALL`, `LC_MESSAGES` or `LANG`.
A code with status 500 is answered as `error`; the command line shows it as it is.

程序请依据 `code` 判断：其含义不会改变。HTTP 接口按 `Accept-Language`（`zh` 或 `en`）作答；
命令行依次看 `QIBAI_LANG`、`LC_ALL`、`LC_MESSAGES`、`LANG`。
状态为 500 的错误码，接口一律答 `error`，命令行照原样显示。

| code | HTTP | English | 中文 |
|---|---|---|---|
"""


def sentences() -> dict[str, str]:
    """The English sentence of each code; of two classes with one code, that of the first."""
    kinds: list[type[QibaiError]] = [QibaiError]
    found: dict[str, str] = {}
    for kind in kinds:
        kinds += [
            one for one in kind.__subclasses__() if one.__module__.startswith(("qibai.core", "qibai.api"))
        ]
        if "code" in vars(kind):
            found.setdefault(kind.code, kind.usual())
    return found


def page() -> str:
    """The whole page."""
    english = sentences()
    rows = [
        f'| <a id="{code}"></a>`{code}` | {status} | {" ".join(english[code].split())} | {SENTENCES[code]} |'
        for code, status in sorted(STATUS.items(), key=lambda item: (item[1], item[0]))
    ]
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
