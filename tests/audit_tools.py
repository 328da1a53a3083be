"""What the tests of the audit trail share: actors, and a trail with entries."""

from datetime import UTC, datetime

import psycopg

from qibai.core.roles import Action, Role
from qibai.core.trail import Point
from qibai.store import audit
from qibai.store.audit import Actor
from qibai.store.keys import Keyring

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
ALICE = Actor("alice", Role.OPERATOR, "key:aaa", SINCE)
BOB = Actor("bob", Role.OPERATOR, "key:bbb", SINCE)


def fill(dsn: str, keyring: Keyring, count: int, *, first: int = 1) -> list[Point]:
    """Add so many entries; returns the points that the chain went through."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        return [
            audit.record_sync(conn, keyring, ALICE, Action.TENANT_ADD, f"tenant:t{number}", number=number)
            for number in range(first, first + count)
        ]
