"""What the driver raises, in our own errors."""

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors

from qibai.core.errors import SchemaError, StoreUnavailable

#: Whatever the driver raises, for those who do not import it.
DriverError: Final = psycopg.Error

#: No answer: the server is away, starts, stops, or is a standby now (SQLSTATE 25006). Whoever meets it drops
#: the connection and asks again: the data is not to blame. Deadlocks and serialization failures are among
#: these errors. Whoever can try those again at once catches them first.
UNAVAILABLE: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,
    errors.IdleInTransactionSessionTimeout,
)

#: What is to be stored is to blame, and the same again would fail again: PostgreSQL does not take a value, or
#: it does not fit into the form in which it goes there.
REFUSED: Final = (psycopg.DataError, psycopg.IntegrityError, ValueError, OverflowError, struct.error)

#: libpq's text where a server lets nobody in: a severity in the server's language, a colon, two spaces;
#: or libpq's own word for a password that the server asks for and that is not there.
_SAID: Final = re.compile(r"^.* failed: (?:\w+:  |fe_sendauth: )(.+)$", re.MULTILINE)


def why_not_connected(error: psycopg.Error) -> str:
    """A sentence for an operator: the database does not answer, or with which words it let nobody in.

    The words name roles and databases, never a password.
    """
    said = _SAID.findall(str(error))
    if said:
        return f"the database refuses the connection: {said[-1].strip()}"
    return "the database does not answer"


@contextmanager
def own_errors() -> Iterator[None]:
    """Turn "no answer" into StoreUnavailable and "no such table" into SchemaError; the rest goes through.

    The driver's text is left out, as it may hold values.
    """
    try:
        yield
    except psycopg.errors.UndefinedTable:
        raise SchemaError from None
    except errors.DiskFull:
        raise StoreUnavailable("the disk of the database is full; make room there") from None
    except UNAVAILABLE:
        raise StoreUnavailable from None
