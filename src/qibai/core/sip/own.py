"""Requests that we send for ourselves, and not on behalf of a message that passes through us."""

import secrets

from qibai.core.sip.address import uri_host
from qibai.core.sip.write import Endpoint


def new_branch() -> str:
    """A branch parameter that no request had before."""
    return f"z9hG4bK{secrets.token_hex(12)}"


def write_own(  # noqa: PLR0917  # the headers' order
    method: str,
    uri: str,
    via: str,
    from_: str,
    to: str,
    call_id: str,
    cseq: int,
    *more: str,
    max_forwards: int = 70,
) -> bytes:
    """A request without a body. ``via`` and ``more`` are whole header lines, the others are values."""
    lines = [
        f"{method} {uri} SIP/2.0",
        via,
        f"Max-Forwards: {max_forwards}",
        f"From: {from_}",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        *more,
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def write_options(here: Endpoint, name: str, to: tuple[str, int], branch: str) -> bytes:
    """An OPTIONS that asks whether somebody is there. It goes no further; ``name`` is our user name in it."""
    place, tag = f"sip:{uri_host(to[0])}:{to[1]}", secrets.token_hex(8)
    via = f"{here.via(branch.removeprefix('z9hG4bK'))};rport"
    us = f"<sip:{name}@{here.host}>;tag={tag}"
    return write_own("OPTIONS", place, via, us, f"<{place}>", tag, 1, max_forwards=1)
