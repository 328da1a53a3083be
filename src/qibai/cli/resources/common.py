"""What these commands share: reading, times, days, provinces."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, date, datetime
from typing import Annotated, TypeVar

import typer

from qibai.cli.database import with_store
from qibai.cli.options import config_of
from qibai.cli.times import FORM, moment_of
from qibai.core.errors import BadRequest
from qibai.core.numbering import PILOT_PROVINCES, Province, parse_province
from qibai.service.lender import Connection

T = TypeVar("T")

Provinces = Annotated[
    list[str], typer.Option("--province", help="Name or code, again for each; `all`: the pilot's eleven.")
]
At = Annotated[
    datetime | None,
    typer.Option("--at", parser=moment_of("at"), metavar="TIME", help=f"From when on, {FORM}; else now."),
]


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
