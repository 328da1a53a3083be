"""Rotation of keys while everything runs: in batches, resumable after any interruption, with progress.

``rotate_values`` re-encrypts all sealed values, ``rotate_hash`` moves the routes to a new blind index,
``rotate_token`` gives new calls a new token key. Old keys stay in the key file: spools and running calls may
still need them. One rotation runs at a time.
"""

from qibai.store import keyfile, made_keys
from qibai.store.crypto import TOKEN_KEY_BYTES
from qibai.store.keyfile import KeyFile
from qibai.store.keys import Keyring
from qibai.store.rotate_hash import rotate_hash
from qibai.store.rotate_values import ValuesRotated, rotate_values
from qibai.store.rotating import Progress, RotationStep, no_progress, rotating

__all__ = [
    "Progress",
    "RotationStep",
    "ValuesRotated",
    "rotate_hash",
    "rotate_token",
    "rotate_values",
    "use_next_token_key",
]


def rotate_token(dsn: str, keyring: Keyring) -> int:
    """Take the prepared or a new token key for new calls and return its id; running calls keep theirs.

    Raise Conflict, StoreUnavailable or KeyFileError.
    """
    with rotating(dsn, no_progress) as rotation:
        made_keys.require_newest(rotation.conn, keyring.path)
        id = use_next_token_key(keyring)
        made_keys.enter(rotation.conn, keyring.path)
    return id


def use_next_token_key(keyring: Keyring) -> int:
    """The change of the key file."""
    added = []

    def change(content: KeyFile) -> None:
        added.append(keyfile.next_key(content.token, TOKEN_KEY_BYTES))
        content.token.current = added[0]

    keyfile.update(keyring.path, change)
    keyring.reload_if_changed()
    return added[0]
