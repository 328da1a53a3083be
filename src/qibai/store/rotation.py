"""Rotation of keys while everything runs: in batches, resumable after any interruption, with progress.

``rotate_values`` re-encrypts all sealed values, ``rotate_hash`` moves the routes to a new blind index,
``rotate_token`` gives new calls a new token key. Old keys stay in the key file: spools and running calls may
still need them. One rotation runs at a time.
"""

from typing import LiteralString

import psycopg

from qibai.store import keyfile
from qibai.store.crypto import TOKEN_KEY_BYTES
from qibai.store.failures import own_errors
from qibai.store.keyfile import KeyFile
from qibai.store.keys import Keyring
from qibai.store.rotate_hash import rotate_hash
from qibai.store.rotate_values import VALUES_JOB, ValuesRotated, rotate_values
from qibai.store.rotating import Progress, RotationStep

__all__ = [
    "Progress",
    "RotationStep",
    "ValuesRotated",
    "rotate_hash",
    "rotate_token",
    "rotate_values",
    "unfinished",
]


def unfinished(dsn: str, keyring: Keyring, kind: str) -> bool:
    """Whether a rotation of that key (value, hash, token) was begun and not ended. Raise StoreUnavailable."""
    if kind == "hash" and keyring.next_hash_id is not None:
        return True
    queries: dict[str, tuple[LiteralString, list[str]]] = {
        "hash": ("SELECT 1 FROM hash_rotation WHERE phase <> 0", []),
        "value": (
            "SELECT 1 FROM rotation_progress WHERE job = %s AND part = %s",
            [VALUES_JOB, str(keyring.value_id)],
        ),
    }
    if kind not in queries:
        return False
    query, params = queries[kind]
    with own_errors(), psycopg.connect(dsn) as conn:
        return conn.execute(query, params).fetchone() is not None


def rotate_token(keyring: Keyring) -> int:
    """Add a token key for new calls and return its id; running calls keep theirs."""
    added = []

    def change(content: KeyFile) -> None:
        added.append(keyfile.add_key(content.token, TOKEN_KEY_BYTES))
        content.token.current = added[0]

    keyfile.update(keyring.path, change)
    keyring.reload_if_changed()
    return added[0]
