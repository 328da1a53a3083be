"""Builds the documentation's site in English and Chinese: ``python docs/site/build.py``.

The pages in ``docs`` are written for readers of the repository. This program makes their links fit the
site; Zensical then writes the HTML. A warning of Zensical, for example of a link to a missing heading, ends
the build.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
SITE: Final = ROOT / "src/qibai/api/site"  #: The platform serves this folder at ``/docs``.
LANGUAGES: Final = {"en": "English", "zh-CN": "简体中文"}
_REFERENCE: Final = {
    "en": '{ "API reference" = "reference.html" }',
    "zh-CN": '{ "接口参考" = "../reference.html" }',
}

#: The line below a page's title that leads to the other language. The site's header does that.
_OTHER_LANGUAGE: Final = re.compile(r"^\[(?:English|简体中文)\]\([^)]*\)\n\n?", re.MULTILINE)
_LINK: Final = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


def sources(root: Path, language: str) -> dict[str, Path]:
    """The file of each page by the page's name. A page without a translation is shown in English."""
    readme = root / ("README.md" if language == "en" else "README.zh-CN.md")
    english = {page.name: page for page in sorted((root / "docs").glob("*.md"))}
    translated = {page.name: page for page in (root / "docs" / language).glob("*.md")}
    return {"index.md": readme, **english, **translated}


def page(source: Path, names: set[str]) -> str:
    """The text of a page for the site. A link to a file that is not on the site becomes plain text."""

    def fit(link: re.Match[str]) -> str:
        text, target, heading = link[1], link[2], link[3] or ""
        if "://" in target:
            return link[0]
        name = Path(target).name
        if name.startswith("README"):
            name = "index.md"
        return f"[{text}]({name}{heading})" if name in names else text

    return _LINK.sub(fit, _OTHER_LANGUAGE.sub("", source.read_text("utf-8"), count=1))


def navigation(language: str, names: set[str]) -> str:
    """The sections and pages as TOML. Raise KeyError when ``sections.toml`` names a missing page."""
    sections = tomllib.loads((HERE / "sections.toml").read_text("utf-8"))["section"]
    unlisted = names - {"index.md", "LICENSE"}
    entries = ['"index.md"']
    for section in sections:
        files = []
        for name in section["pages"]:
            if name == "reference":
                files.append(_REFERENCE[language])
            else:
                unlisted.remove(f"{name}.md")
                files.append(f'"{name}.md"')
        if section is sections[-1]:
            files += [f'"{name}"' for name in sorted(unlisted)]
        if files:
            entries.append(f'{{ "{section[language]}" = [{", ".join(files)}] }}')
    return f"[{', '.join(entries)}]"


def configuration(language: str, names: set[str]) -> str:
    """The text of ``zensical.toml`` for one language. Pages are read from ``pages`` beside it."""
    english = language == "en"
    return Template((HERE / "zensical.toml").read_text("utf-8")).substitute(
        nav=navigation(language, names),
        theme_language="en" if english else "zh",
        templates=HERE / "templates",
        dark="Dark" if english else "深色",
        light="Light" if english else "浅色",
        english="index.html" if english else "../index.html",
        chinese="zh-CN/index.html" if english else "index.html",
    )


def build(root: Path, site: Path) -> None:
    """Write the site of the repository at ``root``; replace what ``site`` holds.

    Raise SystemExit at a warning, and KeyError when ``sections.toml`` names a missing page.
    """
    with tempfile.TemporaryDirectory() as temporary:
        for language in LANGUAGES:
            work = Path(temporary, language)
            (work / "pages").mkdir(parents=True)
            files = sources(root, language)
            names = {*files, "LICENSE"}
            for name, source in files.items():
                (work / "pages" / name).write_text(page(source, names), "utf-8")
            shutil.copy(root / "LICENSE", work / "pages")
            (work / "zensical.toml").write_text(configuration(language, names), "utf-8")
            done = subprocess.run(
                [sys.executable, "-m", "zensical", "build", "--strict"],
                cwd=work,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                output, *_ = _COLOUR.sub("", done.stdout + done.stderr).partition("Traceback")
                raise SystemExit(f"The {LANGUAGES[language]} documentation cannot be built:\n{output}")
        whole = Path(temporary, "en/site")
        shutil.copytree(Path(temporary, "zh-CN/site"), whole / "zh-CN")
        shutil.copytree(HERE / "assets", whole / "assets", dirs_exist_ok=True)
        shutil.copy(HERE / "reference.html", whole)
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(whole, site)


def digest(root: Path) -> str:
    """A digest of everything that the site is made of."""
    found = hashlib.sha256(version("zensical").encode())
    for path in _inputs(root):
        found.update(f"{path.relative_to(root)}\n".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def _inputs(root: Path) -> Iterator[Path]:
    yield from (root / name for name in ("LICENSE", "README.md", "README.zh-CN.md"))
    yield from sorted(path for path in (root / "docs").rglob("*") if path.is_file() and path.suffix != ".pyc")


if __name__ == "__main__":
    stamp = SITE / ".made-of"
    if not stamp.exists() or stamp.read_text() != digest(ROOT):
        build(ROOT, SITE)
        stamp.write_text(digest(ROOT))
