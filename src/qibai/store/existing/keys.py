"""How an old number and who may dial it are looked up: 8 bytes that are the number's, then 16 of the pair."""

from typing import Final

from qibai.core.existing import ExistingNumber
from qibai.core.numbering import Msisdn
from qibai.store.keys import Keyring

NUMBER_BYTES: Final = 8


def number_key(keyring: Keyring, key_id: int, number: ExistingNumber) -> bytes:
    """What all keys of an old number begin with: as the blind index of that number as a real one, so that
    one digest of a party serves both. Raise KeyUnknown when there is no such hash key."""
    return keyring.blind_text(key_id, number.e164)[:NUMBER_BYTES]


def pair_key(keyring: Keyring, key_id: int, dialled: ExistingNumber, caller: Msisdn | None) -> bytes:
    """The key of ``caller`` (None: anyone) on an old number. Raise KeyUnknown."""
    who = "anyone" if caller is None else caller.e164
    return number_key(keyring, key_id, dialled) + keyring.blind_text(key_id, f"{dialled.e164} {who}")


def after(prefix: bytes) -> bytes:
    """The first key behind all that begin with ``prefix``."""
    return prefix + b"\xff" * 17
