"""Where services get their connections to the database."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from qibai.store.connection import Connection

__all__ = ["Connection", "Lender"]


class Lender(Protocol):
    """Lends connections in autocommit mode: a server's pool, or a command's only one."""

    def get(self, timeout_s: float = 10.0) -> AbstractAsyncContextManager[Connection]:
        """A connection for a piece of work that may last ``timeout_s``. Raise StoreUnavailable."""
