"""How CMPP peers prove that they know the shared secret: MD5 over it, as the protocol prescribes."""

import hashlib
from datetime import datetime, timedelta
from typing import Final

from qibai.core.pilot.calendar import BEIJING

#: How far the clocks may be apart; an older Connect may be somebody's recording.
MAX_SKEW: Final = timedelta(minutes=5)


def timestamp(now: datetime) -> int:
    """MMDDHHMMSS in Beijing's time, as a number."""
    return int(f"{now.astimezone(BEIJING):%m%d%H%M%S}")


def authenticator_source(source_addr: str, secret: str, stamp: int) -> bytes:
    """MD5(Source_Addr + 9 octets of 0 + shared secret + timestamp). Raise UnicodeError."""
    text = source_addr.encode("ascii") + bytes(9) + secret.encode("ascii") + f"{stamp:010d}".encode()
    return hashlib.md5(text, usedforsecurity=False).digest()


def sources_of(source_addr: str, secret: str, stamp: int) -> list[bytes]:
    """The proofs that show the same knowledge, the specification's first. Raise UnicodeError.

    Some peers write the timestamp without its leading zero, or fill the account up to its six octets.
    """
    addresses, stamps = {source_addr, source_addr.ljust(6, "\0")}, {f"{stamp:010d}", str(stamp)}
    others = [
        hashlib.md5(
            address.encode("ascii") + bytes(9) + secret.encode("ascii") + written.encode(),
            usedforsecurity=False,
        ).digest()
        for address in sorted(addresses)
        for written in sorted(stamps)
    ]
    return list(dict.fromkeys([authenticator_source(source_addr, secret, stamp), *others]))


def authenticator_ismg(status: bytes, source: bytes, secret: str) -> bytes:
    """MD5(Status as in the answer + AuthenticatorSource + shared secret)."""
    return hashlib.md5(status + source + secret.encode("ascii"), usedforsecurity=False).digest()


def is_fresh(stamp: int, now: datetime) -> bool:
    """Whether the timestamp is near ``now``; it names no year, so the nearest is meant."""
    digits = f"{stamp:010d}"
    month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(0, 10, 2))
    local = now.astimezone(BEIJING)
    for year in (local.year - 1, local.year, local.year + 1):
        try:
            at = datetime(year, month, day, hour, minute, second, tzinfo=BEIJING)
        except ValueError:
            continue
        if abs(at - local) <= MAX_SKEW:
            return True
    return False
