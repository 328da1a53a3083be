"""Bindings, routes, records and keys in PostgreSQL: the one door to the data."""

from qibai.config import Config
from qibai.store.dsncheck import sound_dsn
from qibai.store.embedded import OWNER, embedded_dsn

__all__ = ["dsn", "owner_dsn", "read_dsn"]


def dsn(config: Config) -> str:
    """Where the database is, for all parts of the platform: what is configured, else the embedded server.

    Raise ConfigError when that is no connection string. So do the others here.
    """
    return sound_dsn(config.store.dsn, "store.dsn") or embedded_dsn(config)


def owner_dsn(config: Config) -> str:
    """The same database as the role that owns the schema: for migrations alone."""
    owner = sound_dsn(config.store.owner_dsn, "store.owner_dsn")
    return owner or sound_dsn(config.store.dsn, "store.dsn") or embedded_dsn(config, role=OWNER)


def read_dsn(config: Config) -> str:
    """Where routing reads go: hot standbys if configured, else the same as ``dsn``."""
    return sound_dsn(config.store.read_dsn, "store.read_dsn") or dsn(config)
