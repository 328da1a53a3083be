"""The audit trail as a chain: each entry's digest covers its content and the digest of the one before.

Digests are SM3 (GB/T 32905). A chain that was edited, cut, or put in another order no longer fits; one that
was computed again from some entry on fits in itself, but not the sealed head or an anchor kept elsewhere.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives import hashes

from qibai.core.errors import AuditBroken
from qibai.core.masking import mask_numbers, mask_text

START: Final = bytes(32)  #: stands for the digest before the first entry

_JSON: Final = msgspec.json.Encoder(order="sorted", enc_hook=str)
#: Ids of ours, by which things are found again: `call:c12345678-0abc…`, `key:h4k9xw2mqp7c`.
_ID: Final = re.compile(
    r"(?:[a-z]+:)?(?:[a-z][0-9]{8}-[0-9a-z]{8,20}|700[0-9]{8,12}|qibai-.*)|(?:key|request):[0-9a-z]+"
)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. ``at_us``: microseconds since 1970, UTC. ``details``: JSON, real numbers in it masked."""

    seq: int  #: 1, 2, 3, … without a gap
    at_us: int
    actor: str  #: a person's name, or `tenant:NAME`, `platform:NAME`
    role: str
    via: str  #: how the actor was known: `key:ID`, or `os:USER@NODE`
    action: str
    subject: str  #: what it was done to
    details: str
    prev: bytes
    hash: bytes

    @property
    def digest(self) -> bytes:
        """What ``hash`` has to be."""
        return digest(
            self.prev,
            self.seq,
            self.at_us,
            self.actor,
            self.role,
            self.via,
            self.action,
            self.subject,
            self.details,
        )


@dataclass(frozen=True, slots=True)
class Point:
    """Where a chain was at some time: the last entry's number and digest."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> "Point":
        """Read ``SEQ:HASH``. Raise ValueError."""
        seq, _, hash = text.strip().partition(":")
        point = cls(int(seq), bytes.fromhex(hash))
        if point.seq < 0 or len(point.hash) != len(START):
            raise ValueError("not a point of a chain")
        return point


def digest(prev: bytes, *content: str | int) -> bytes:
    """SM3 over the digest before and the content as a JSON array, which no two contents share."""
    sm3 = hashes.Hash(hashes.SM3())
    sm3.update(prev)
    sm3.update(_JSON.encode(content))
    return sm3.finalize()


def canonical(details: Mapping[str, Any]) -> str:
    """Details as they are stored: JSON with sorted keys, real numbers masked, however they are written."""
    return mask_numbers(_JSON.encode(_masked(details)).decode())


def masked(text: str) -> str:
    """A text as it is stored: real numbers in it masked, ids of ours as they are."""
    return mask_numbers(text) if _ID.fullmatch(text) else mask_text(text)


def _masked(value: Any) -> Any:
    match value:
        case str():
            return masked(str(value))
        case dict():
            return {masked(str(key)): _masked(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(inner) for inner in value]
        case _:
            return value


def check(entries: Iterable[Entry], anchors: Iterable[Point] = ()) -> Iterator[Entry]:
    """Pass entries on, from the first, as long as they fit. Raise AuditBroken, naming the first bad entry.

    ``anchors``: points that the chain is known to have gone through, in order. Memory does not grow.
    """
    known = iter([anchor for anchor in anchors if anchor.seq])
    anchor = next(known, None)
    last = Point(0, START)
    trusted = 0
    for entry in entries:
        wanted = last.seq + 1
        if entry.seq != wanted:
            raise AuditBroken(wanted, f"entry {wanted} is missing: {entry.seq} follows {last.seq}")
        if entry.digest != entry.hash:
            raise AuditBroken(wanted, f"entry {wanted} was changed: it does not fit its digest")
        if entry.prev != last.hash:
            bad = max(last.seq, 1)
            raise AuditBroken(bad, f"entry {bad} was replaced: entry {wanted} was written after another one")
        while anchor is not None and anchor.seq <= entry.seq:
            if anchor.seq == entry.seq and anchor.hash != entry.hash:
                first = min(trusted + 1, entry.seq)  # two anchors of one entry may differ
                which = f"entry {first}" if first == entry.seq else f"an entry from {first} to {entry.seq} on"
                raise AuditBroken(first, f"the trail was rewritten, {which}: it does not fit an anchor")
            trusted = anchor.seq
            anchor = next(known, None)
        last = Point(entry.seq, entry.hash)
        yield entry
    if anchor is not None and anchor.seq > last.seq:
        raise AuditBroken(
            last.seq + 1,
            f"entry {last.seq + 1} is missing: the trail ends at {last.seq}, it had {anchor.seq}",
        )
