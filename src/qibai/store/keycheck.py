"""Whether a key file is the one that the database was written with; with another, nobody is bound."""

from pathlib import Path
from typing import Any

import psycopg

from qibai.core.errors import AuditBroken, KeyFileError, SealBroken
from qibai.store import audit_verify
from qibai.store.crypto import binding_aad
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring

_SAMPLE = "SELECT code, binding_id, callee, current_id FROM hash_rotation, route LIMIT 1"


def check_key_file(conn: psycopg.Connection[Any], path: Path) -> None:
    """Try the keys on a number at rest; before the first, on the head of the audit trail.

    Raise KeyFileError when they do not fit or are not there; nothing is asked of them while there is no data.
    """
    with own_errors():
        sample = conn.execute(_SAMPLE).fetchone()
    if sample is None and audit_verify.read_head(conn).new:
        return
    keyring = Keyring.load(path)
    try:
        if sample is None:
            audit_verify.sealed_head(conn, keyring)
        else:
            keyring.open(bytes(sample[2]), binding_aad(sample[0], sample[1]))
            if not keyring.has_hash_key(sample[3]):  # a backup from before the rotation
                raise SealBroken
    except (SealBroken, AuditBroken):
        raise KeyFileError(
            f"{path} is not the key file that this database was written with; restore that one"
        ) from None
