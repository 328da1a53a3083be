"""Whether a key file is the one that the database was written with; with another, nobody is bound."""

from pathlib import Path
from typing import Any

import psycopg

from qibai.config import Config
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


def check_key_file_there(config: Config) -> None:
    """A database has a key file of its own, which has to come back; a new one cannot open it.

    Raise KeyFileError when this home has an embedded database and no key file.
    """
    if not config.store.dsn and config.pg_dir.exists() and not config.key_file.exists():
        raise KeyFileError(f"{config.key_file} is not there, but its database is; restore the file's backup")


def first_key_file(config: Config) -> None:
    """Make a key file where there is none. Raise KeyFileError when there is a database already."""
    check_key_file_there(config)
    Keyring.load_or_create(config.key_file)
