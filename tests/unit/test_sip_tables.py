"""The page of SIP tables is what the code says, and has a row for each status that means something."""

from pathlib import Path

from qibai.cli.sippage import finals, page
from qibai.core.refusals import EarlyRefusal
from qibai.core.routing import RefusalReason

PAGE = Path(__file__).parents[2] / "docs" / "sip-tables.md"


def test_the_page_is_what_the_code_says() -> None:
    """If not: `.venv/bin/python -m qibai.cli.sippage > docs/sip-tables.md`."""
    assert PAGE.read_text("utf-8") == page()


def test_every_reason_and_every_status_of_its_own_has_a_row() -> None:
    rows = [line for line in page().splitlines() if line.startswith("|")]
    for reason in (*RefusalReason, *EarlyRefusal):
        assert any(f"| `{reason.value}` |" in row for row in rows), reason
    assert {401, 407, 408, 486, 487, 503, 600, 603} <= set(finals())
