"""What these commands share: a change with its entry in the audit trail, days, provinces, ranges of codes."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, TypeVar

import typer

from qibai.cli.database import Connection, Record, act, with_store
from qibai.cli.options import config_of
from qibai.cli.times import FORM, moment_of
from qibai.core.errors import BadCode, BadRequest
from qibai.core.numbering import PILOT_PROVINCES, Code, Province, parse_province
from qibai.core.roles import Action

T = TypeVar("T")
MAX_RANGE: Final = 100_000

Provinces = Annotated[
    list[str], typer.Option("--province", help="Name or code, again for each; `all`: the pilot's eleven.")
]
At = Annotated[
    datetime | None,
    typer.Option("--at", parser=moment_of("at"), metavar="TIME", help=f"From when on, {FORM}; else now."),
]


def change(
    ctx: typer.Context,
    what: str,
    subject: str,
    work: Callable[[Connection], Awaitable[T]],
    *,
    action: Action = Action.RESOURCE_CHANGE,
    **details: Any,
) -> T:
    """Do the work and record it, in one transaction."""

    async def both(conn: Connection, record: Record) -> T:
        async with conn.transaction():
            result = await work(conn)
            await record(action, subject, what=what, **details)
        return result

    return act(ctx, both)


def read(ctx: typer.Context, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Look something up."""
    return with_store(config_of(ctx), work)


def instant(at: datetime | None) -> datetime:
    """The time given, else now."""
    return at or datetime.now(UTC)


def day(text: str, field: str) -> date:
    """A day as papers print it, in Beijing time. Raise BadRequest."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequest("give a day as YYYY-MM-DD", field=field) from None


def provinces_of(names: Iterable[str]) -> list[Province]:
    """Provinces by name or code, `all` for all of the pilot's. Raise BadProvince."""
    names = list(names)
    return list(PILOT_PROVINCES) if names == ["all"] else [parse_province(name) for name in names]


def names_of(codes: Iterable[str] | None) -> str:
    """Provinces by their codes, for people."""
    known = {province.code: province.name for province in PILOT_PROVINCES}
    found = [known.get(code, code) for code in codes or ()]
    return "all of the pilot" if len(found) == len(known) else " ".join(found)


def ranges(texts: Iterable[str]) -> list[Code]:
    """Codes and ranges FIRST-LAST. Raise BadCode."""
    return [code for text in texts for code in _range(text)]


def _range(text: str) -> Iterator[Code]:
    first, dash, last = text.partition("-")
    begin = Code.parse(first)
    end = Code.parse(last) if dash else begin
    if not begin.value <= end.value < begin.value + MAX_RANGE:
        raise BadCode(f"a range goes upwards and holds at most {MAX_RANGE} codes")
    return (Code(value) for value in range(begin.value, end.value + 1))
