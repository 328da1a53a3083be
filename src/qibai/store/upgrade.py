"""Bring a deployment's database up to date: the schema as its owner, then the platform's rights."""

from typing import Final

import psycopg

from qibai.config import Config
from qibai.core.errors import SchemaError, StoreUnavailable
from qibai.core.roles import Action
from qibai.store import audit, dsn, owner_dsn
from qibai.store.actors import Actor
from qibai.store.embedded import EmbeddedPostgres
from qibai.store.failures import own_errors
from qibai.store.grants import grant
from qibai.store.key_ties import any_untied, tie_keys
from qibai.store.keycheck import check_key_file
from qibai.store.keys import Keyring
from qibai.store.migrate import MIGRATION_LOCK, migrate, pending

_READY_S: Final = 5.0


def upgrade(config: Config, actor: Actor | None = None) -> list[str]:
    """Run what migrations are left and return their names; afterwards the platform has just its rights.

    What was run goes into the audit trail as ``actor``'s act. Without ``store.owner_dsn`` a platform whose
    role does not own the schema leaves it alone; SchemaError is raised when something was left to do.
    Raise StoreUnavailable, and KeyFileError when the key file is another than the data was written with.
    """
    applied = _upgrade(config, actor)
    with own_errors(), psycopg.connect(dsn(config)) as conn:
        check_key_file(conn, config.key_file)
    return applied


def _upgrade(config: Config, actor: Actor | None) -> list[str]:
    if not config.store.dsn:
        EmbeddedPostgres(config).wait_ready(_READY_S)  # a home of an older release has one role
    owner = owner_dsn(config)
    if config.store.dsn and not config.store.owner_dsn and not pending(owner) and not _untied(owner):
        return []
    try:
        applied = migrate(owner)
        if _untied(owner):
            with psycopg.connect(owner) as conn:
                tie_keys(conn, Keyring.load(config.key_file))
    except psycopg.errors.InsufficientPrivilege:
        raise SchemaError(
            "the role of store.dsn may not change the schema; run `qibai migrate` with store.owner_dsn"
        ) from None
    if owner != dsn(config):
        give_rights(owner, dsn(config))
    if applied and actor is not None:
        keyring = Keyring.load_or_create(config.key_file)
        witness = audit.Witness.of(config, keyring)
        with own_errors(), psycopg.connect(dsn(config)) as conn, audit.acts_sync(conn, witness):
            audit.record_sync(conn, actor, Action.SCHEMA_MIGRATE, "schema", applied=applied)
    return applied


def _untied(owner: str) -> bool:
    with own_errors(), psycopg.connect(owner) as conn:
        return any_untied(conn)


def give_rights(owner: str, platform: str) -> None:
    """Give the role of the DSN ``platform`` its rights, as the role of ``owner``. Raise StoreUnavailable."""
    try:
        with psycopg.connect(platform) as conn:
            row = conn.execute("SELECT current_user").fetchone()
    except psycopg.OperationalError:
        raise StoreUnavailable("the platform's role cannot reach the database; see store.dsn") from None
    role = row[0] if row else ""
    with own_errors(), psycopg.connect(owner) as conn:
        conn.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
        if conn.execute("SELECT current_user <> %s", [role]).fetchone() == (True,):
            grant(conn, role)
