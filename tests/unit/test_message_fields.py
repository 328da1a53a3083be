"""Each field has a row on the page of fields, and the constant values there are those that are written."""

import dataclasses
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import smpp34

from qibai.config import MessageLink
from qibai.core.messages import MessageState
from qibai.core.text import Encoding, Part
from qibai.messaging.cmpp import mapping as cmpp
from qibai.messaging.cmpp.msgid import sent_ref
from qibai.messaging.cmpp.pdu import read_report
from qibai.messaging.cmpp.wire import V3
from qibai.messaging.link import Outgoing, Receipt, Report
from qibai.messaging.smpp import mapping as smpp

DOCS = Path(__file__).parents[2] / "docs"
NOW = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
TEXT = Outgoing(
    1, 2, "700000000010001", "+8613800138000", Part(b"hi", Encoding.LATIN1), NOW + timedelta(hours=1)
)
REPORT = Report(Receipt(sent_ref(7), MessageState.DELIVERED, NOW), "700000000010001", "+8613800138000", NOW)
#: Names on the page that the code has otherwise.
OTHERWISE = {"destterminalid": "destterminalids", "msgcontent": "content", "linkid": "reserve"}
EMPTY = {"empty", "空"}


def rows(page: str, place: int) -> dict[str, str]:
    """Of the section with that place: what is written, by the last name of each field."""
    section = (DOCS / page).read_text("utf-8").split("\n## ")[place]
    found = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "`" in line
    ]
    return {re.findall(r"`([^`]+)`", row[0])[-1]: row[-1] for row in found if row[0].startswith("`")}


def plain(name: str) -> str:
    found = name.lower().replace("_", "")
    return OTHERWISE.get(found, found)


def constants(written: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The fields of which the page gives a value that is the same in every message."""
    for name, cell in written.items():
        if cell in EMPTY:
            yield name, ""
        elif found := re.fullmatch(r"`([^`]*)`", cell):
            yield name, found[1]


def cmpp_messages() -> list[Any]:
    writer = cmpp.Writer(MessageLink(name="peer", protocol="cmpp", account="901234", service="QIBAI"))
    delivered = writer.report(REPORT, 9, V3)
    return [writer.submit(TEXT), writer.deliver(TEXT, 9), read_report(delivered.content)]


@pytest.mark.parametrize("page", ["message-fields.md", "zh-CN/message-fields.md"])
@pytest.mark.parametrize(("place", "kind"), [(2, 0), (3, 1), (4, 2)], ids=["submit", "deliver", "report"])
def test_cmpp(page: str, place: int, kind: int) -> None:
    message = cmpp_messages()[kind]
    values = {plain(field.name): getattr(message, field.name) for field in dataclasses.fields(message)}
    written = rows(page, place)
    # Reserve has its own name in a Deliver of 2.0, and stands in one row with LinkID.
    assert {plain(name) for name in written} == set(values)
    for name, value in constants(written):
        assert str(values[plain(name)]) == value, name


@pytest.mark.parametrize("page", ["message-fields.md", "zh-CN/message-fields.md"])
def test_smpp(page: str) -> None:
    writer = smpp.Writer(MessageLink(name="peer", protocol="smpp"), smpp34.SubmitSm)
    message = smpp.read_sm(writer.message(TEXT, NOW))
    written = rows(page, 1)
    fields = {name for name in dir(message) if not name.startswith("_")}
    fields -= {"command_id", "encode", "sequence_number", "sm_length", "tlvs"}
    assert fields <= set(written)
    for name, value in constants(written):
        assert str(getattr(message, name)) == value, name
