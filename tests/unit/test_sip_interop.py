"""The interop corpus: each stack's messages are read as they are, and refused only as the corpus says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from qibai.core.sip import BadMessage, accepted_body, clean_sdp, leg_of_request, parse, sdp_of, unsupported

CORPUS = Path(__file__).parents[1] / "interop"
_TITLE = re.compile(r"^=== (.+): (passes|[3-6][0-9]{2})\n", re.MULTILINE)
_OCTET = re.compile(rb"\\x([0-9a-f]{2})")
_SECRET = re.compile(r"192\.0\.2\.|2001:db8|cname|13812345678|13987654321")


def corpus() -> Iterator[object]:
    for file in sorted(CORPUS.glob("*.sip")):
        _, *pieces = _TITLE.split(file.read_text("utf-8"))
        for title, outcome, text in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
            yield pytest.param(octets(text), outcome, id=f"{file.stem}: {title}")


def octets(text: str) -> bytes:
    """A message of the corpus as it goes over the wire; the line that parts it from the next is not in it."""
    data = text.removesuffix("\n").replace("\n", "\r\n").encode()
    data = _OCTET.sub(lambda found: bytes.fromhex(found[1].decode()), data)
    head, _, body = data.partition(b"\r\n\r\n")
    return head.replace(b"{length}", str(len(body)).encode()) + b"\r\n\r\n" + body


def relayed(data: bytes) -> str:
    """The description that would pass. Raise BadMessage, or give no more than SIP's reader does."""
    message = parse(data)
    if unsupported(message):
        raise BadMessage("an extension", status=420)
    if message.method == "INVITE" and not message.status:
        if not accepted_body(message):
            raise BadMessage("a body of another type", status=415)
        leg_of_request(message)
    description = sdp_of(message)
    return "" if description is None else clean_sdp(description, "198.51.100.1", salt="s")


@pytest.mark.parametrize(("data", "outcome"), corpus())
def test_each_message_has_its_outcome(data: bytes, outcome: str) -> None:
    if outcome == "passes":
        assert not _SECRET.search(relayed(data))
        return
    with pytest.raises(BadMessage) as caught:
        relayed(data)
    assert caught.value.status == int(outcome)


def test_every_stack_has_messages() -> None:
    assert len(list(corpus())) >= len(list(CORPUS.glob("*.sip"))) >= 12
