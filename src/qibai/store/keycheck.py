"""Whether a key file is the one that the database was written with; with another, nobody is bound."""

from pathlib import Path
from typing import Any, Final

import psycopg

from qibai.core.errors import AuditBroken, KeyFileError, KeyUnknown, SealBroken
from qibai.store import audit_verify, made_keys
from qibai.store.crypto import binding_aad, sealed_key_id
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.statements import load

_SQL: Final = load("rotation")


def check_key_file(conn: psycopg.Connection[Any], path: Path) -> None:
    """Try the keys on a number at rest; before the first, on the head of the audit trail.

    Raise KeyFileError when they do not fit or are not there; nothing is asked of them while there is no data.
    """
    with own_errors():
        sample = conn.execute(_SQL["sample"]).fetchone()
        rotating = [int(part) for (part,) in conn.execute(_SQL["value_keys"]).fetchall()]
    if sample is None and audit_verify.read_head(conn).new:
        return
    made_keys.require_same(conn, path)
    keyring = Keyring.load(path)
    sealed_by = rotating if sample is None else [*rotating, sealed_key_id(bytes(sample[2]))]
    for key_id in sealed_by:
        if not keyring.has_value_key(key_id):
            raise _old(path, f"value key {key_id}")
    try:
        if sample is None:
            audit_verify.sealed_head(conn, keyring)
        else:
            keyring.open(bytes(sample[2]), binding_aad(sample[0], sample[1]))
            if not keyring.has_hash_key(sample[3]):
                raise _old(path, f"hash key {sample[3]}")
    except KeyUnknown:  # the head's: there is no value yet
        raise _old(path, "newer hash key") from None
    except (SealBroken, AuditBroken):
        raise KeyFileError(
            f"{path} is not the key file that this database was written with; restore that one"
        ) from None


def _old(path: Path, key: str) -> KeyFileError:
    return KeyFileError(
        f"{path} has no {key}, which this database needs;"
        " copy the key file of the node where keys were rotated, or of the backup"
    )
