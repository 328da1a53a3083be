"""The keyring: the keys of the key file, and what is done with them.

The file is JSON, readable by its owner alone. Its three sections hold keys by id: ``value`` (SM4, numbers at
rest), ``hash`` (HMAC-SM3, blind indexes) and ``token`` (AES-256, dialog tokens). New things use the section's
current key; old keys stay, to read what they wrote. When the file gains keys, a keyring notices by itself.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from cryptography.hazmat.primitives.ciphers import algorithms

from qibai.core.errors import KeyFileError, KeyUnknown, SealBroken
from qibai.core.numbering import Msisdn
from qibai.store import crypto, keyfile
from qibai.store.crypto import binding_aad
from qibai.store.keyfile import KeyFile

__all__ = ["Keyring", "RememberingKeyring", "binding_aad"]

RELOAD_INTERVAL_S: Final = 1.0
_NEXT_FEW: Final = 8  #: rotations that a node may miss

_log: Final = structlog.get_logger("qibai.keys")


class Keyring:
    """Seals, opens and blinds with the keys of one file. Not for sharing between threads."""

    def __init__(self, path: Path, content: KeyFile, stamp: tuple[int, int, int]) -> None:
        self.path = path
        self._stamp = stamp
        self._logged: set[tuple[str, int]] = set()  #: ids of missing keys that the log has named
        self._foreign: tuple[int, int, int] | None = None  #: of the file that was last refused
        self._looked_at = time.monotonic()
        self._use(content)

    @classmethod
    def load(cls, path: Path) -> "Keyring":
        """Read the key file. Raise KeyFileError when it is missing, damaged or readable by others."""
        return cls(path, *keyfile.read(path))

    @classmethod
    def load_or_create(cls, path: Path) -> "Keyring":
        """Read the key file, first making one with new random keys where there is none."""
        if not path.exists():
            keyfile.create(path)
        return cls.load(path)

    def reload_if_changed(self) -> bool:
        """Read the file again if it is not the one that was read; tell whether it was.

        A file that cannot be read just now (KeyFileError) leaves the keyring as it was. So does a file that
        lacks a key of ours: keys are only ever added, so that file is another database's, and what it sealed
        could not be read later.
        """
        self._looked_at = time.monotonic()
        try:
            stamp = keyfile.stamp(self.path)
            if stamp in (self._stamp, self._foreign):
                return False
            content, stamp = keyfile.read(self.path)
        except KeyFileError:
            return False
        if not self._content.is_in(content):
            self._foreign = stamp
            _log.error(
                "the key file lacks keys that are in use; put the right file back", file=str(self.path)
            )
            return False
        self._stamp = stamp
        self._use(content)
        return True

    def blind(self, msisdn: Msisdn) -> bytes:
        """The blind index (16 bytes) under the current hash key."""
        return self._blind(msisdn.e164.encode())

    def blind_next(self, msisdn: Msisdn) -> bytes | None:
        """The blind index under the next hash key; None unless the hash key is being rotated."""
        return None if self._blind_next is None else self._blind_next(msisdn.e164.encode())

    def blind_by(self, key_id: int, msisdn: Msisdn) -> bytes:
        """The blind index under the hash key ``key_id``. Raise KeyUnknown when the file has no such key."""
        return self.blind_text(key_id, msisdn.e164)

    def blind_text(self, key_id: int, text: str) -> bytes:
        """The blind index of any text. Raise KeyUnknown when the file has no such key."""
        blind = self._blinders.get(key_id)
        if blind is None and self.reload_if_changed():
            blind = self._blinders.get(key_id)
        if blind is None:
            raise self._missing("hash", key_id)
        return blind(text.encode())

    def has_hash_key(self, key_id: int) -> bool:
        """Whether the file has that hash key, which may have been made a moment ago elsewhere."""
        return key_id in self._hash_keys or (self.reload_if_changed() and key_id in self._hash_keys)

    def has_value_key(self, key_id: int) -> bool:
        """The same of a value key."""
        return key_id in self._values or (self.reload_if_changed() and key_id in self._values)

    def mac(self, key_id: int, text: bytes) -> bytes:
        """HMAC-SM3 (32 bytes) under a key of its own, made from the hash key ``key_id``."""
        return crypto.mac(self._hash_keys[key_id], text)

    def lasting_mac(self, text: bytes) -> bytes:
        """``mac`` under the file's first hash key: the same before, during and after a rotation."""
        return self.mac(min(self._hash_keys), text)

    @property
    def all_hash_ids(self) -> list[int]:
        """The ids of all hash keys of the file, old ones too."""
        return sorted(self._hash_keys)

    @property
    def hash_ids(self) -> tuple[int, int | None]:
        """The ids of the current and the next hash key."""
        return self.hash_id, self.next_hash_id

    def seal(self, plain: str, aad: bytes, nonce: bytes | None = None) -> bytes:
        """Encrypt under the current value key, tied to ``aad``; ``nonce`` as for ``crypto.seal``."""
        if time.monotonic() - self._looked_at > RELOAD_INTERVAL_S:
            self.reload_if_changed()
        return crypto.seal(self.value_id, self._value, plain.encode(), aad, nonce)

    def open(self, blob: bytes, aad: bytes) -> str:
        """Decrypt what ``seal`` made.

        Raise KeyUnknown when the file has no key of that id, and SealBroken when the key opens nothing: it is
        another database's, ``aad`` is another, or the value is damaged.
        """
        key_id = crypto.sealed_key_id(blob)
        key = self._values.get(key_id)
        if key is None and self.reload_if_changed():
            key = self._values.get(key_id)
        if key is None:
            raise self._missing("value", key_id)
        try:
            return crypto.unseal(key, blob, aad).decode()
        except UnicodeDecodeError:
            raise SealBroken from None

    def token_key(self, id: int) -> bytes:
        """The dialog tokens' newest AES-256 key of that id, or its last octet.

        Raise KeyUnknown for a number that a rotation on another node may have given just now, SealBroken for
        any other that the file has not got.
        """
        octet = id & 0xFF
        key = self._tokens.get(octet)
        if key is None and self.reload_if_changed():
            key = self._tokens.get(octet)
        if key is None and 0 < (octet - self._newest_token) & 0xFF <= _NEXT_FEW:
            raise self._missing("token", octet)
        if key is None:
            raise SealBroken
        return key

    @property
    def newest_ids(self) -> dict[str, int]:
        """The id of the newest key of each section, prepared keys too."""
        self.reload_if_changed()
        sections = (("value", self._values), ("hash", self._hash_keys))
        return {name: max(keys) for name, keys in sections} | {"token": self._newest_token}

    @property
    def current_token_key(self) -> tuple[int, bytes]:
        """The id and key that new dialog tokens use."""
        return self._token

    def _missing(self, section: str, key_id: int) -> KeyUnknown:
        if (section, key_id) not in self._logged:  # not for each of a million values
            self._logged.add((section, key_id))
            _log.error(
                f"the key file lacks a {section} key; copy the file of the node where keys were rotated",
                file=str(self.path),
                key=key_id,
            )
        return KeyUnknown()

    def _use(self, content: KeyFile) -> None:
        self._content = content
        self.value_id = content.value.current
        self._values = {int(i): algorithms.SM4(key) for i, key in content.value.keys.items()}
        self._value = self._values[self.value_id]
        self.hash_id, self.next_hash_id = content.hash.current, content.hash.next
        self._hash_keys = {int(i): key for i, key in content.hash.keys.items()}
        self._blinders: dict[int, Callable[[bytes], bytes]] = {
            int(i): crypto.blinder(key) for i, key in content.hash.keys.items()
        }
        self._blind = self._blinders[self.hash_id]
        self._blind_next = None if self.next_hash_id is None else self._blinders[self.next_hash_id]
        # A token names its key by an octet: 256 rotations later an id is used again, and its calls are over.
        self._tokens = {int(i) & 0xFF: key for i, key in sorted(content.token.keys.items(), key=_by_id)}
        self._newest_token = max(map(int, content.token.keys))
        self._token = (content.token.current, content.token.keys[str(content.token.current)])


def _by_id(item: tuple[str, bytes]) -> int:
    return int(item[0])


class RememberingKeyring(Keyring):
    """Knows the last blind indexes that it made: for work that asks for the same ones several times."""

    MOST: Final = 20_000

    def __init__(self, path: Path, content: KeyFile, stamp: tuple[int, int, int]) -> None:
        super().__init__(path, content, stamp)
        self._made: dict[tuple[int, str], bytes] = {}

    def blind_text(self, key_id: int, text: str) -> bytes:
        made = self._made
        found = made.get((key_id, text))
        if found is None:
            if len(made) >= self.MOST:
                made.clear()
            found = made[key_id, text] = super().blind_text(key_id, text)
        return found
