"""The documentation's site: every page in both languages, and a build that a mistake ends."""

import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site() -> ModuleType:
    """The program ``docs/site/build.py``."""
    spec = importlib.util.spec_from_file_location("site_build", ROOT / "docs/site/build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of what the site is made of."""
    for name in ("README.md", "README.zh-CN.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("site"))
    return tmp_path


def test_every_page_is_there_in_both_languages_and_in_the_navigation(
    site: ModuleType, repository: Path
) -> None:
    (repository / "docs/tariffs.md").write_text("# Tariffs\n\nFree.\n")
    site.build(repository, repository / "built")
    names = {page.stem for page in (repository / "docs").glob("*.md")} | {"index", "reference"}
    for folder in (repository / "built", repository / "built/zh-CN"):
        navigation = re.findall(r'href="([^"#]+)\.html"', (folder / "index.html").read_text("utf-8"))
        assert names <= {Path(link).name for link in navigation}
    assert "七百" in (repository / "built/zh-CN/index.html").read_text("utf-8")


@pytest.mark.parametrize("link", ["glossary.md#gone", "#gone"])
def test_a_link_to_a_missing_heading_ends_the_build(site: ModuleType, repository: Path, link: str) -> None:
    page = repository / "docs/concepts.md"
    page.write_text(page.read_text("utf-8") + f"\nSee [there]({link}).\n", "utf-8")
    with pytest.raises(SystemExit, match=r"(?s)English.*gone"):
        site.build(repository, repository / "built")


def test_a_section_that_names_a_missing_page_ends_the_build(site: ModuleType, repository: Path) -> None:
    (repository / "docs/concepts.md").unlink()
    with pytest.raises(KeyError, match="concepts"):
        site.build(repository, repository / "built")


def test_links_fit_the_site(site: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n[简体中文](zh-CN/page.md)\n\n[a](../README.md) [b](zh-CN/b.md#x) [c](../deploy/c.toml) "
        "[d](https://example.net/d.md) [e](#e)\n"
    )
    assert site.page(page, {"index.md", "b.md"}) == (
        "# Page\n\n[a](index.md) [b](b.md#x) c [d](https://example.net/d.md) [e](#e)\n"
    )
