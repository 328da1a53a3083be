"""The two READMEs say the same: they lead to the same pages and show the same demonstration."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh-CN.md"))


def test_the_same_pages_each_in_its_language_and_all_there() -> None:
    english, chinese = (
        [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("README")]
        for text in (ENGLISH, CHINESE)
    )
    translated = [link.replace("docs/", "docs/zh-CN/") for link in english]
    assert chinese == [
        there if (ROOT / there).exists() else link for link, there in zip(english, translated, strict=True)
    ]
    assert all((ROOT / link).exists() for link in english)


def test_the_same_demonstration() -> None:
    english, chinese = (re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S) for text in (ENGLISH, CHINESE))
    assert [kind for kind, _ in english] == [kind for kind, _ in chinese] == ["", "mermaid", ""]
    assert english[2] == chinese[2]


def test_the_demonstration_is_an_excerpt_of_the_whole_on_its_page() -> None:
    excerpt = re.findall(r"^```\n(.*?)^```", ENGLISH.partition("## The demo")[2], re.M | re.S)[0]
    whole = iter((ROOT / "docs/getting-started.md").read_text("utf-8").splitlines())
    for line in excerpt.splitlines():
        assert line in whole, line
