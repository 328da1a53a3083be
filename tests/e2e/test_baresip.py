"""Two real user agents that nobody here wrote talk through the platform, and learn nothing of each other."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from qibai.config import Peer
from qibai.core.numbering import Msisdn
from qibai.testing.baresip import Baresip, tone_share
from qibai.testing.capture import Capture, Packet, read_packets
from qibai.testing.leaks import LeakChecker
from qibai.testing.platform import wait_for
from voice_tools import CALLEE_AT, CALLER_AT, HERE, Bench, bench, free_port, peers

pytestmark = pytest.mark.voice

A, B = Msisdn("+8615820947361"), Msisdn("+8618394705162")
LOW, HIGH = 440.0, 1_250.0
HALF_SECOND = 4_000  #: samples


def hears(agent: Baresip, hertz: float) -> bool:
    """Whether the last half second that the agent heard is that tone."""
    latest = agent.heard()[-HALF_SECOND:]
    return len(latest) == HALF_SECOND and tone_share(latest, hertz) > 0.8


def descriptions(pcap: Path, address: str, line: bytes) -> int:
    """How many SIP messages with that line in their description came to ``address`` so far."""
    return sum(p.dst == address and line in p.payload for p in read_packets(pcap))


def sound(pcap: Path, agent: Baresip, description: int) -> list[int]:
    """The samples of the RTP that came to the agent from that message with a description (-1: the latest)
    until the next.

    Read from the wire, as this baresip's own recording ends with the first hold.
    """
    packets = list(read_packets(pcap))
    starts = [n for n, p in enumerate(packets) if b"\r\nm=audio" in p.payload]
    end = [*starts, len(packets)][description % len(starts) + 1]
    low, high = agent.media
    return [
        alaw(code)
        for p in packets[starts[description] : end]
        if low <= p.dport <= high and len(p.payload) == 172 and p.payload[1] & 0x7F == 8
        for code in p.payload[12:]
    ]


def plays(samples: list[int], hertz: float) -> bool:
    """Whether the last half second is that tone."""
    return len(samples) >= HALF_SECOND and tone_share(samples[-HALF_SECOND:], hertz) > 0.8


def described(pcap: Path) -> list[Packet]:
    """The SIP messages with a description, so far."""
    return [p for p in read_packets(pcap) if b"\r\nm=audio" in p.payload]


def alaw(code: int) -> int:
    """One A-law sample as a linear one (G.711)."""
    code ^= 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    value = (mantissa << 4) + 8 if exponent == 0 else (mantissa << 4) + 0x108 << exponent - 1
    return value if code & 0x80 else -value


def rtcp(packets: list[Packet]) -> list[Packet]:
    return [
        p for p in packets if len(p.payload) > 1 and p.payload[0] >> 6 == 2 and 200 <= p.payload[1] <= 204
    ]


def behind_nat(port: int) -> list[Peer]:
    """baresip describes its own address, but its packets come from the address that the kernel chooses."""
    return [msgspec.structs.replace(peer, media_from="first") for peer in peers(port)]


def test_two_agents_talk_and_hold(tmp_path: Path, database: Callable[[], str]) -> None:
    """Each hears the other's tone, nothing while on hold, and the tone again afterwards. No leak."""
    pcap = tmp_path / "all.pcap"
    with bench(tmp_path, database, behind_nat) as voice:
        caller = Baresip(tmp_path / "a", A, (CALLER_AT, free_port(CALLER_AT)), proxy=voice.here, tone=LOW)
        callee = Baresip(tmp_path / "b", B, voice.callee, proxy=voice.here, tone=HIGH)
        # baresip sends media from whatever address the kernel chooses, so its ports count as well
        media = [f"udp portrange {low}-{high}" for low, high in (caller.media, callee.media)]
        wanted = " or ".join([f"host {CALLER_AT}", f"host {CALLEE_AT}", *media])
        with Capture(pcap, wanted) as capture, caller, callee:
            talk_and_hold(voice, pcap, caller, callee)
    packets = capture.packets
    assert rtcp(packets), "no RTCP was captured"
    for agent, own, other, address in ((caller, A, B, CALLEE_AT), (callee, B, A, CALLER_AT)):
        low, high = agent.media
        seen = [p for p in packets if p.dst == agent.address or low <= p.dport <= high]
        seen += [p for p in packets if p.src == agent.address and p.dst != HERE]
        assert len(seen) > 60
        checker = LeakChecker(
            {"the other's number": other},
            {"the other's address": address},
            [own.e164.encode(), own.national.encode(), b"700123456780001", b"700123456780002"],
        )
        assert checker.scan_packets(seen, f"at {agent.address}") == []


def talk_and_hold(voice: Bench, pcap: Path, caller: Baresip, callee: Baresip) -> None:
    """A whole call, both tones heard."""
    x, y = voice.number(), voice.number()
    voice.bind(x, A, B, y)
    caller.command("dial", f"sip:{x}@{HERE}:{voice.here[1]}")
    callee.wait_event("CALL_INCOMING")
    callee.command("accept")
    caller.wait_event("CALL_ESTABLISHED")
    callee.wait_event("CALL_ESTABLISHED")
    wait_for(lambda: hears(callee, LOW), "the caller's tone at the callee's")
    wait_for(lambda: hears(caller, HIGH), "the callee's tone at the caller's")

    caller.command("hold")
    wait_for(lambda: descriptions(pcap, CALLER_AT, b"m=audio") == 2, "the answer to hold")
    held = len(described(pcap)) - 1
    time.sleep(1.0)  # fifty packets' time
    caller_heard, callee_heard = sound(pcap, caller, held), sound(pcap, callee, held)
    assert not caller_heard and not callee_heard, "there is silence while the call is on hold"

    caller.command("resume")
    wait_for(lambda: descriptions(pcap, CALLER_AT, b"m=audio") == 3, "the answer to the resumption")
    wait_for(lambda: plays(sound(pcap, caller, -1), HIGH), "the callee's tone after hold")
    wait_for(lambda: plays(sound(pcap, callee, -1), LOW), "the caller's tone after hold")

    caller.command("hangup")
    callee.wait_event("CALL_CLOSED")
