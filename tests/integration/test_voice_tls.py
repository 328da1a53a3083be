"""A caller over TLS reaches a callee over UDP."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qibai.testing.leaks import LeakChecker
from qibai.testing.platform import free_port, wait_for
from tls_caller import TlsCaller, make_certificate
from voice_tools import CALLEE_AT, CALLER_AT, HERE, A, B, Scenario, bench, listening

pytestmark = pytest.mark.voice


def test_tls(tmp_path: Path, database: Callable[[], str]) -> None:
    certificate, key = make_certificate(tmp_path)
    port = free_port(HERE)
    with bench(
        tmp_path, database, tls_port=port, tls_cert=str(certificate), tls_key=str(key), media=False
    ) as voice:
        x = voice.number()
        voice.bind(x, A, B)
        callee = (
            Scenario(B.national)
            .expect_request("INVITE", first=True)
            .reply(200)
            .expect_request("ACK")
            .expect_request("BYE")
            .reply(200)
        )
        agent = voice.agent(callee, "callee", voice.callee)
        wait_for(lambda: listening(voice.callee), "the callee")
        caller = TlsCaller(CALLER_AT, (HERE, port), certificate, A)
        caller.call_and_hang_up(x, (HERE, port))
        agent.wait()
    assert not LeakChecker({"callee": B}, {"callee": CALLEE_AT}).scan_text(*caller.received)
    assert not LeakChecker({"caller": A}, {"caller": CALLER_AT}).scan_text(*agent.received)
