"""What the tests of the audit trail share: actors, and a trail with entries."""

from datetime import UTC, datetime
from pathlib import Path

import psycopg

from qibai.core.roles import Action, Role
from qibai.core.trail import Point
from qibai.store import audit
from qibai.store.audit import Actor, Witness
from qibai.store.keys import Keyring

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
ALICE = Actor("alice", Role.OPERATOR, "key:aaa", SINCE)
BOB = Actor("bob", Role.OPERATOR, "key:bbb", SINCE)


def witness(keyring: Keyring, node: str = "test", path: Path | None = None) -> Witness:
    """Anchors beside the key file."""
    return Witness(path or keyring.path.with_name("audit.anchors"), node, keyring)


def act(dsn: str, keyring: Keyring, subject: str, by: Witness | None = None, **details: object) -> Point:
    """One act, recorded and anchored."""
    with (
        psycopg.connect(dsn, autocommit=True) as conn,
        audit.acts_sync(conn, by or witness(keyring)),
    ):
        return audit.record_sync(conn, ALICE, Action.TENANT_ADD, subject, **details)


def fill(dsn: str, keyring: Keyring, count: int, *, first: int = 1) -> list[Point]:
    """Add so many entries; returns the points that the chain went through."""
    return [act(dsn, keyring, f"tenant:t{number}", number=number) for number in range(first, first + count)]
