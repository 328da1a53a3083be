"""Calls between two SIP user agents through the platform."""

from collections.abc import Callable, Iterator

import pytest

from qibai.core.events import CallEventKind
from voice_tools import A, B, Bench, answering, bench, calling

pytestmark = pytest.mark.voice


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("voice"), database) as made:
        yield made


def test_caller_hangs_up(voice: Bench) -> None:
    x = voice.number()
    voice.bind(x, A, B)
    caller = calling(A, x).pause(50).request("BYE").expect(200)
    callee = answering(B).expect_request("BYE").reply(200)
    seen = voice.call(caller, callee)
    assert f"From: <sip:{x}@" in seen.callee[0]
    assert [e.ended_by for e in voice.events(CallEventKind.ENDED, x)] == ["caller"]
