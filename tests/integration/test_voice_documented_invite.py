"""The INVITE on the page of SIP interconnection becomes, on a running platform, the INVITE beside it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from qibai.testing.platform import free_port
from raw_sip import raw_agent
from voice_tools import CALLER_AT, A, B, bench

pytestmark = pytest.mark.voice
PAGE = Path(__file__).parents[2] / "docs" / "sip-interconnection.md"
SENT, ARRIVED = re.findall(r"^```\n(INVITE .*?)^```", PAGE.read_text("utf-8"), re.M | re.S)


def test_the_documented_invite(tmp_path: Path, database: Callable[[], str]) -> None:
    near_at = (CALLER_AT, free_port(CALLER_AT))
    with (
        bench(tmp_path, database) as voice,
        raw_agent(voice.callee, voice.here) as far,
        raw_agent(near_at, voice.here) as near,
    ):
        x, y = voice.number(), voice.number()
        voice.bind(x, A, B, y)
        here = {"700123456780001": str(x), "700123456780002": str(y)}
        here |= {"+8613800138000": A.e164, "+8613900139000": B.e164, "203.0.113.20": CALLER_AT}
        here |= places("203.0.113.10", near_at) | places("198.51.100.7", voice.here)
        here |= places("192.0.2.10", voice.callee)
        near.send(on_the_wire(replaced(SENT, here)))
        arrived = far.take(b"INVITE ")
        far.reply(arrived, b"486 Busy Here")
        near.take(b"SIP/2.0 486")
        assert lines(arrived) == varying(replaced(ARRIVED, here), arrived)


def places(documented: str, at: tuple[str, int]) -> dict[str, str]:
    return {f"{documented}:5060": f"{at[0]}:{at[1]}", documented: at[0]}


def replaced(text: str, names: dict[str, str]) -> str:
    for documented, real in names.items():
        text = text.replace(documented, real)
    return text


def on_the_wire(text: str) -> bytes:
    head, _, body = text.partition("\n\n")
    octets = body.replace("\n", "\r\n").encode()
    head = re.sub(r"Content-Length: \d+", f"Content-Length: {len(octets)}", head)
    return head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + octets


def lines(message: bytes) -> list[str]:
    return message.decode().rstrip().split("\r\n")


def varying(text: str, arrived: bytes) -> list[str]:
    """The documented lines. A line with `…` becomes the line that arrived, if that fits."""
    fitting = []
    for line, real in zip(text.rstrip().split("\n"), lines(arrived), strict=True):
        pattern = re.escape(line).replace("…", r"[^ ;>]+")
        fitting.append(real if "…" in line and re.fullmatch(pattern, real) else line)
    return fitting
