"""Serves the documentation at ``/docs``: the site that ``docs/site/build.py`` makes, with the API reference.

The site loads nothing from another host. A page may run the scripts of this site, and of those in its own
text only the ones that it was built with: its Content-Security-Policy names their hashes.
"""

import base64
import hashlib
import mimetypes
import re
from functools import cache
from pathlib import Path
from typing import Final

from litestar import Response, get
from litestar.response import File, Redirect

from qibai.api.errors import NotFound
from qibai.api.gate import OPEN
from qibai.api.problems import LANGUAGE

SITE: Final = Path(__file__).parent / "site"

_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)
#: Diagrams and the API reference write styles into the page. The search runs in a worker.
_POLICY: Final = (
    "default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@get("/docs", include_in_schema=False, opt={OPEN: True})
async def home() -> Redirect:
    """The first page, in the language that the reader prefers. The browser keeps what follows a ``#``."""
    return Redirect("/docs/zh-CN/index.html" if LANGUAGE.get() == "zh" else "/docs/index.html")


@get("/docs/{name:path}", include_in_schema=False, opt={OPEN: True}, sync_to_thread=True)
def page(name: str) -> Response[str] | File:
    """A file of the site. Raise NotFound."""
    path = _files().get(name.removeprefix("/"))
    if path is None:
        raise NotFound
    media_type = mimetypes.guess_type(path.name)[0] or "text/plain"
    if media_type == "text/html":
        text = path.read_text("utf-8")
        return Response(text, media_type=media_type, headers={"Content-Security-Policy": _policy(text)})
    return File(
        path,
        filename=path.name,
        media_type=media_type,
        content_disposition_type="inline",
        headers={"Content-Security-Policy": _policy("")},
    )


@cache
def _files() -> dict[str, Path]:
    """Each file of the site by its path below ``/docs/``. A path that is not listed cannot be read."""
    return {path.relative_to(SITE).as_posix(): path for path in SITE.rglob("*") if path.is_file()}


def _policy(text: str) -> str:
    """The Content-Security-Policy of a page of this text."""
    scripts = sorted({script.encode() for script in _SCRIPT.findall(text)})
    hashes = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts]
    return _POLICY.format(scripts=" ".join(["'self'", *(f"'sha256-{digest}'" for digest in hashes)]))


HANDLERS: Final = (home, page)
