"""What the driver raises, in our own errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from qibai.core.errors import SchemaError, StoreUnavailable


@contextmanager
def own_errors() -> Iterator[None]:
    """Turn "no answer" into StoreUnavailable and "no such table" into SchemaError; the rest goes through.

    The driver's text is left out, as it may hold values.
    """
    try:
        yield
    except psycopg.errors.UndefinedTable:
        raise SchemaError from None
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise StoreUnavailable from None
