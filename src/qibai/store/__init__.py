"""Bindings, routes, records and keys in PostgreSQL: the one door to the data."""

from qibai.config import Config
from qibai.store.embedded import embedded_dsn

__all__ = ["dsn", "read_dsn"]


def dsn(config: Config) -> str:
    """Where the database is: what is configured, else the embedded server."""
    return config.store.dsn or embedded_dsn(config)


def read_dsn(config: Config) -> str:
    """Where routing reads go: hot standbys if configured, else the same as ``dsn``."""
    return config.store.read_dsn or dsn(config)
