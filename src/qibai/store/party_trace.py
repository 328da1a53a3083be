"""Traces by a party's number, counted in the database: all nodes and commands share one limit."""

import math
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from qibai.core.often import wait_s
from qibai.store.actors import Actor
from qibai.store.failures import own_errors
from qibai.store.statements import load

_SQL: Final = load("party_trace")


@dataclass(frozen=True, slots=True)
class TooOften:
    """A trace that was refused: seconds until the next, and how many this key was refused this hour."""

    retry_after_s: int
    refused: int
    answered: int  #: in the last day


@dataclass(frozen=True, slots=True)
class Tracer:
    """Somebody who traced by a party's number in the last day, and how often."""

    actor: str
    via: str  #: `key:ID`
    answered: int
    refused: int


async def count(conn: psycopg.AsyncConnection[Any], actor: Actor) -> TooOften | None:
    """Count one more, within a transaction; None: it is allowed.

    A person's keys share the limit. Times are read once the lock is held: whoever waited for it is counted
    behind whoever had it. Raise StoreUnavailable.
    """
    who = {"actor": actor.name, "via": actor.via}
    with own_errors():
        await conn.execute(_SQL["lock"])
        await conn.execute(_SQL["forget"])
        ages = [age for (age,) in await (await conn.execute(_SQL["ages"], who)).fetchall()]
        wait = wait_s(ages)
        if not wait:
            await conn.execute(_SQL["add"], who)
            return None
        row = await (await conn.execute(_SQL["refuse"], who)).fetchone()
    return TooOften(math.ceil(wait), row[0] if row else 1, len(ages))


def last_day(conn: psycopg.Connection[Any]) -> list[Tracer]:
    """Who traced by a party's number in the last day, who was refused first. Raise StoreUnavailable."""
    with own_errors():
        return [Tracer(*row) for row in conn.execute(_SQL["last_day"]).fetchall()]
