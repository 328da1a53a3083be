"""The pages for users say the same in English and Chinese, and the links of all pages lead somewhere."""

from pathlib import Path

import pytest
from page_pairs import Section, anchor, broken, differences, sections

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: Two are for developers. The configuration's page is made from comments in the source, which are English.
#: Those of errors and of SIP tables have both languages.
ENGLISH_ONLY = {"architecture.md", "performance.md", "configuration.md", "errors.md", "sip-tables.md"}
NAMES = sorted({page.name for page in DOCS.glob("*.md")} - ENGLISH_ONLY)
PAGES = [
    ROOT / "README.md",
    ROOT / "README.zh-CN.md",
    *sorted(DOCS.glob("*.md")),
    *sorted(DOCS.glob("zh-CN/*.md")),
]


def pages(name: str) -> tuple[list[Section], list[Section]]:
    english, chinese = f"docs/{name}", f"docs/zh-CN/{name}"
    assert (ROOT / chinese).exists(), f"{english} has no Chinese page: write {chinese}"
    first, second = ((ROOT / page).read_text("utf-8") for page in (english, chinese))
    return sections(english, first), sections(chinese, second)


@pytest.mark.parametrize("name", NAMES)
def test_both_pages_say_the_same(name: str) -> None:
    found = list(differences(*pages(name)))
    assert not found, (
        "a page was changed in one language alone. Carry the change over; code blocks, words between"
        " backticks and figures are the same in both languages.\n" + "\n".join(found)
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_page_leads_to_the_other_first(name: str) -> None:
    english, chinese = pages(name)
    assert english[0].links[0] == f"zh-CN/{name}"
    assert chinese[0].links[0] == f"../{name}"


@pytest.mark.parametrize("name", NAMES)
def test_both_pages_lead_to_the_same_places(name: str) -> None:
    """A Chinese page leads to Chinese pages where there are any, and to the same headings there."""

    english, chinese = pages(name)
    assert targets(chinese) == targets(english)


def targets(found: list[Section]) -> list[tuple[str, int]]:
    """The pages that links lead to but the first, with the headings' places there."""
    links = [link for section in found for link in section.links][1:]
    return sorted((link, -1) if "://" in link else target(link, ROOT / found[0].page) for link in links)


def target(link: str, page: Path) -> tuple[str, int]:
    name, _, wanted = link.partition("#")
    there = (page.parent / name).resolve() if name else page
    own = page.parent / there.name
    assert there == own or not own.exists(), f"{page}: {link} should lead to {own}"
    titles = [anchor(one.title) for one in sections(there.name, there.read_text("utf-8"))]
    return there.name, titles.index(wanted) if wanted else -1


def test_no_chinese_page_without_an_english_page() -> None:
    assert {page.name for page in DOCS.glob("zh-CN/*.md")} == set(NAMES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_is_broken(page: Path) -> None:
    assert list(broken(page)) == []


def test_a_broken_link_is_named_with_its_place(tmp_path: Path) -> None:
    page = tmp_path / "calls.md"
    (tmp_path / "ends.md").write_text("# Ends\n\n## A call's `end`, seen\n")
    page.write_text(
        "# Calls\n\n[a](ends.md#a-calls-end-seen) [b](ends.md#gone) [c](gone.md) [d](https://example.net)\n"
    )
    assert list(broken(page)) == [
        "calls.md:1 (Calls): ends.md#gone: there is no such heading",
        "calls.md:1 (Calls): gone.md: there is no such file",
    ]


ENGLISH = """\
# Calls

A call ends after 30 s, see `voice.max_s`.

```
qibai calls
```

## Ends

| reason | status |
|---|---|
| `busy` | 486 |
"""
CHINESE = """\
# 呼叫

呼叫在 30 秒后结束，见 `voice.max_s`。

```
qibai calls
```

## 结束

| 原因 | 状态码 |
|---|---|
| `busy` | 486 |
"""


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("qibai calls\n", "qibai calls --live\n", 1, "English: qibai calls --live\n    Chinese: qibai calls"),
        ("`voice.max_s`", "`voice.most_s`", 1, "more often in English: `voice.most_s`"),
        ("30 s", "60 s", 1, "the figure 60 stands in English only"),
        ("| `busy` | 486 |\n", "| `busy` | 486 |\n| `gone` | 410 |\n", 9, "tables have 4 and 3 rows"),
        ("| 486 |", "| 486 | line |", 9, "rows of tables differ in their columns"),
        ("## Ends", "### Ends", 9, "the headings differ"),
        ("## Ends\n", "## Ends\n\n```\nqibai down\n```\n", 9, "it stands in English only"),
    ],
)
def test_a_change_of_one_page_alone_is_named_with_both_places(
    old: str, new: str, place: int, said: str
) -> None:
    chinese = sections("zh-CN/calls.md", CHINESE)
    assert list(differences(sections("calls.md", ENGLISH), chinese)) == []
    assert old in ENGLISH
    found = list(differences(sections("calls.md", ENGLISH.replace(old, new)), chinese))
    assert any(
        f"calls.md:{place} " in one and f"zh-CN/calls.md:{place} " in one and said in one for one in found
    ), found
