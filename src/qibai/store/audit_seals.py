"""Seals of the audit trail: HMAC-SM3 under keys of the key file, which the database's roles have not got."""

import hmac as compare
from typing import Any, Final

import msgspec

from qibai.core.errors import KeyUnknown
from qibai.core.trail import START, Entry, Point
from qibai.store.keys import Keyring

_HEAD: Final = b"qibai audit head\0"
_ENTRY: Final = b"qibai audit entry\0"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where the trail ends, as the database says. Entries up to ``sealed_from`` are older than seals."""

    seq: int
    hash: bytes
    key_id: int
    seal: bytes
    sealed_from: int
    newest_key: int | None = None  #: the hash key that was rotated to last

    def require_key(self, keyring: Keyring) -> None:
        """Raise KeyUnknown when it was sealed on a node whose keys were rotated since: it is not forged.

        A head with any other key's number was: that must keep no act from being done.
        """
        if self.key_id == self.newest_key and not keyring.has_hash_key(self.key_id):
            raise KeyUnknown

    @property
    def point(self) -> Point:
        return Point(self.seq, self.hash)

    @property
    def new(self) -> bool:
        """Nothing was ever entered."""
        return self.point == Point(0, START) and not self.seal and self.sealed_from == 0

    def sealed(self, keyring: Keyring) -> bool:
        """Whether it was written with our keys."""
        texts = [_head_text(self.point, self.sealed_from)]
        if self.seq == self.sealed_from:  # nothing was entered since seals came to entries
            texts.append(str(self.point))
        return any(_fits(keyring, self.key_id, _HEAD + text.encode(), self.seal) for text in texts)


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What is sealed of an entry: its place, its digest, and the node that anchored it."""

    seq: int
    hash: bytes
    node: str
    key_id: int
    seal: bytes

    @property
    def point(self) -> Point:
        return Point(self.seq, self.hash)

    def sealed(self, keyring: Keyring) -> bool:
        """Whether the entry was written with our keys."""
        return _fits(keyring, self.key_id, _entry_text(self.point, self.node), self.seal)


class Row(Entry, frozen=True, kw_only=True):
    """An entry with its seal, as the database has it."""

    node: str
    key_id: int
    seal: bytes

    def sealed(self, keyring: Keyring) -> bool:
        """Whether it was written with our keys."""
        text = _entry_text(Point(self.seq, self.hash), self.node)
        return _fits(keyring, self.key_id, text, self.seal)


def seals(keyring: Keyring, point: Point, node: str, sealed_from: int) -> dict[str, Any]:
    """The seals of a new entry and of the head that is at it, by the names of the statement's parameters."""
    key_id = keyring.hash_id
    return {
        "key_id": key_id,
        "entry_seal": keyring.mac(key_id, _entry_text(point, node)),
        "head_seal": keyring.mac(key_id, _HEAD + _head_text(point, sealed_from).encode()),
    }


def _head_text(point: Point, sealed_from: int) -> str:
    return f"{point} {sealed_from}"


def _entry_text(point: Point, node: str) -> bytes:
    return _ENTRY + f"{point} {node}".encode()


def _fits(keyring: Keyring, key_id: int, text: bytes, seal: bytes) -> bool:
    return keyring.has_hash_key(key_id) and compare.compare_digest(keyring.mac(key_id, text), seal)
