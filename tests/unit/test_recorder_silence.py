"""Whether a call is without media, by what rtpengine answers."""

import pytest

from qibai.core.bencode import Bencoded
from qibai.records.rtpengine import is_silent

NOW = 1_000_000


def stream(heard: int, *flags: bytes) -> Bencoded:
    return {b"last packet": heard, b"flags": list(flags)}


def answer(*medias: tuple[list[Bencoded], list[Bencoded]]) -> Bencoded:
    """Each of the medias, by its flags and streams, at a tag of its own."""
    return {
        b"result": b"ok",
        b"tags": {
            b"%d" % at: {b"medias": [{b"flags": flags, b"streams": streams}]}
            for at, (flags, streams) in enumerate(medias)
        },
    }


TALKS: list[Bencoded] = [b"send", b"recv"]
OLD, NEW, UNUSED = stream(NOW - 9, b"RTP", b"filled"), stream(NOW, b"filled"), stream(NOW, b"RTCP")


@pytest.mark.parametrize(
    ("medias", "silent"),
    [
        ([(TALKS, [OLD]), (TALKS, [OLD])], True),
        ([(TALKS, [OLD, UNUSED]), (TALKS, [UNUSED])], True),
        ([(TALKS, [OLD]), (TALKS, [NEW])], False),
        ([(TALKS, [OLD]), ([b"send"], [OLD])], False),  # on hold
        ([(TALKS, [UNUSED])], False),
        ([], False),
    ],
    ids=["both sides", "unused", "one side", "hold", "nothing described", "nothing"],
)
def test_silence(medias: list[tuple[list[Bencoded], list[Bencoded]]], silent: bool) -> None:
    assert is_silent(answer(*medias), NOW - 5) is silent


@pytest.mark.parametrize("other", [b"", 1, [], {}, {b"tags": [1]}, {b"tags": {b"a": {b"medias": 1}}}])
def test_what_is_no_answer_shows_nothing(other: Bencoded) -> None:
    assert not is_silent(other, NOW)
