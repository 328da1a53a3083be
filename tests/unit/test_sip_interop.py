"""The interop corpus: each stack's messages are read as they are, and refused only as the corpus says."""

import re

import pytest

from corpus import CORPUS, Entry, corpus
from qibai.core.sip import BadMessage, accepted_body, clean_sdp, leg_of_request, parse, sdp_of, unsupported

_SECRET = re.compile(r"192\.0\.2\.|2001:db8|cname|13812345678|13987654321")


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


@pytest.mark.parametrize("entry", list(corpus()), ids=lambda entry: entry.id)
def test_each_message_has_its_outcome(entry: Entry) -> None:
    if entry.outcome == "passes":
        assert not _SECRET.search(relayed(entry.data))
        return
    with pytest.raises(BadMessage) as caught:
        relayed(entry.data)
    assert caught.value.status == int(entry.outcome)


def test_every_stack_has_messages() -> None:
    assert len(list(corpus())) >= len(list(CORPUS.glob("*.sip"))) >= 12
