"""Peers over TLS and TCP, and in another number format."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from qibai.config import Peer
from qibai.testing.leaks import LeakChecker
from qibai.testing.platform import free_port, wait_for
from qibai.testing.sipp import Scenario
from tls_tools import TlsCallee, TlsCaller, make_certificate
from voice_tools import (
    CALLEE_AT,
    CALLER_AT,
    HERE,
    A,
    B,
    answering,
    bench,
    calling,
    hang_up,
    listening,
    peers,
)

pytestmark = pytest.mark.voice


def test_caller_over_tls(tmp_path: Path, database: Callable[[], str]) -> None:
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
        caller.hang_up(*caller.call(x))
        agent.wait()
    assert not LeakChecker({"callee": B}, {"callee": CALLEE_AT}).scan_text(*caller.received)
    assert not LeakChecker({"caller": A}, {"caller": CALLER_AT}).scan_text(*agent.received)


def tls_peers(callee_port: int) -> list[Peer]:
    west, east = peers(callee_port)
    return [structs.replace(west, transport="tls"), structs.replace(east, transport="tls")]


@pytest.mark.parametrize("by_platform", [False, True], ids=["by the caller", "by the platform"])
def test_tls_and_nothing_else(tmp_path: Path, database: Callable[[], str], by_platform: bool) -> None:
    """Both sides over TLS, each proving who it is; the call is ended by the caller, or by the platform."""
    certificate, key = make_certificate(tmp_path)
    tls = {"tls_cert": str(certificate), "tls_key": str(key), "tls_ca": str(certificate)}
    port = free_port(HERE)
    with bench(
        tmp_path, database, tls_peers, udp_port=0, tcp_port=0, tls_port=port, media=False, **tls
    ) as voice:
        x = voice.number()
        voice.bind(x, A, B)
        caller = TlsCaller(CALLER_AT, (HERE, port), certificate, A, key)
        with TlsCallee(voice.callee, certificate, key, B) as callee:
            call = caller.call(x)
            assert callee.set_up.wait(10)
            if by_platform:
                asyncio.run(hang_up(voice, x))
                caller.wait_for_bye()
            else:
                caller.hang_up(*call)
    assert not LeakChecker({"callee": B}, {"callee": CALLEE_AT}).scan_text(*caller.received)
    assert not LeakChecker({"caller": A}, {"caller": CALLER_AT}).scan_text(*callee.received)
    assert callee.received[-1].startswith("BYE ")


def test_callee_over_tcp_as_tel_uri(tmp_path: Path, database: Callable[[], str]) -> None:
    """A peer that speaks TCP and wants tel URIs gets both, and hangs up over its own connection."""

    def tcp_peer(callee_port: int) -> list[Peer]:
        west, east = peers(callee_port)
        return [structs.replace(west, transport="tcp", number_format="tel"), east]

    with bench(tmp_path, database, tcp_peer) as voice:
        x = voice.number()
        voice.bind(x, A, B)
        callee = answering(B).pause(50).request("BYE").expect(200)
        seen = voice.call(calling(A, x).expect_request("BYE").reply(200), callee, callee_transport="t1")
    assert seen.callee[0].startswith(f"INVITE tel:{B.e164} SIP/2.0\n")
    assert f"From: <tel:{x};phone-context=+86>" in seen.callee[0]
    assert f"\nVia: SIP/2.0/TCP {HERE}:" in seen.callee[0]
