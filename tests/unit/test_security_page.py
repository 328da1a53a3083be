"""The table of who may do what on the page of security is the table that the code asks."""

from pathlib import Path

import pytest

from qibai.core.roles import DUAL, DUAL_ONCE_TWO, PERMITTED, Action, Role

DOCS = Path(__file__).parents[2] / "docs"


def documented(page: str) -> dict[str, tuple[frozenset[Role], str]]:
    """Of each action the roles that may do it, and how many persons it takes."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (DOCS / page).read_text("utf-8").splitlines()
        if line.count("|") == len(Role) + 3 and line.startswith("| `")
    ]
    return {
        row[0].strip("`"): (
            frozenset(role for role, mark in zip(Role, row[1:-1], strict=True) if mark == "✓"),
            row[-1],
        )
        for row in rows
    }


def persons(action: Action) -> str:
    if action in DUAL_ONCE_TWO:
        return "2 *"
    return "2" if action in DUAL else ""


@pytest.mark.parametrize("page", ["security.md", "zh-CN/security.md"])
def test_the_page_says_who_may_do_what(page: str) -> None:
    assert documented(page) == {action.value: (PERMITTED[action], persons(action)) for action in Action}
