"""The life of codes, as further commands of ``qibai code``."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Any, Final

import typer

from qibai.cli.database import Connection
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done
from qibai.cli.resources.common import Provinces, change, instant, provinces_of, ranges
from qibai.core.errors import BadRequest
from qibai.core.numbering import Code
from qibai.store import resources

Which = Annotated[list[str], typer.Argument(metavar="CODE…", help="Codes, or ranges FIRST-LAST.")]
Some = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CODE…]", help="Codes, or ranges FIRST-LAST.", show_default=False),
]
Carrier = Annotated[int | None, typer.Option(help="All codes of this carrier's digit.", min=0, max=9)]


def assign(
    ctx: typer.Context,
    which: Which,
    certificate: Annotated[str, typer.Option(help="The certificate that they were assigned by.")],
    json: JsonOut = False,
) -> None:
    """Enter codes under a certificate: new ones, and ones that were returned long enough ago.

    Example: qibai code assign 70010000001-70010000020 --certificate 2025-0001
    """
    quarantine = timedelta(days=config_of(ctx).pilot.code_quarantine_days)

    def work(conn: Connection, codes: list[Code]) -> Awaitable[int]:
        return resources.assign(conn, codes, certificate, now=instant(None), quarantine=quarantine)

    _do(ctx, "assign", which, work, f"assigned by {certificate}", json=json, certificate=certificate)


def open_(ctx: typer.Context, which: Which, province: Provinces, json: JsonOut = False) -> None:
    """The carrier has opened codes in these provinces, too.

    Example: qibai code open 70010000001-70010000020 --province Guangdong --province Shanghai
    """
    where = provinces_of(province)
    _do(
        ctx,
        "open",
        which,
        lambda conn, codes: resources.open_(conn, codes, where),
        "open there",
        json=json,
        provinces=province,
    )


def close(ctx: typer.Context, which: Which, province: Provinces, json: JsonOut = False) -> None:
    """Bind nothing new on codes in these provinces; what is bound goes on."""
    where = provinces_of(province)
    _do(
        ctx,
        "close",
        which,
        lambda conn, codes: resources.close(conn, codes, where),
        "closed there",
        json=json,
        provinces=province,
    )


def give(
    ctx: typer.Context,
    which: Which,
    tenant: Annotated[str, typer.Option(help="Who may bind them.")],
    json: JsonOut = False,
) -> None:
    """Let a tenant of the codes' own application platform bind their numbers.

    Example: qibai code give 70010000001-70010000020 --tenant acme
    """

    def work(conn: Connection, codes: list[Code]) -> Awaitable[int]:
        return resources.give(conn, codes, tenant, now=instant(None))

    _do(ctx, "give", which, work, f"given to {tenant}", json=json, tenant=tenant)


def drain(ctx: typer.Context, which: Which, json: JsonOut = False) -> None:
    """Bind nothing new on codes that will be returned; what is bound is served to its end."""
    _do(ctx, "drain", which, resources.drain, "draining", json=json)


def resume(ctx: typer.Context, which: Which, json: JsonOut = False) -> None:
    """Call a drain off."""
    _do(ctx, "resume", which, resources.resume, "in use again", json=json)


def return_(ctx: typer.Context, which: Which, json: JsonOut = False) -> None:
    """Give drained codes back, once nothing is bound on them or in quarantine."""

    def work(conn: Connection, codes: list[Code]) -> Awaitable[int]:
        return resources.return_(conn, codes, now=instant(None))

    _do(ctx, "return", which, work, "returned", json=json)


def set_aside(
    ctx: typer.Context,
    why: Annotated[str, typer.Option(help="Why, such as: the carrier does not carry it.")],
    which: Some = None,
    carrier: Carrier = None,
    json: JsonOut = False,
) -> None:
    """Bind nothing new on codes that fail; live bindings are not touched.

    Example: qibai code set-aside --carrier 3 --why "not carried since 09:00"
    """

    async def work(conn: Connection, codes: list[Code]) -> int:
        wanted = codes if carrier is None else await resources.choose(conn, carrier=carrier)
        return len(await resources.set_aside(conn, wanted, why))

    _do(ctx, "set aside", _one_of(which, carrier), work, "set aside", json=json, why=why, carrier=carrier)


def restore(ctx: typer.Context, which: Some = None, carrier: Carrier = None, json: JsonOut = False) -> None:
    """Undo set-aside."""

    async def work(conn: Connection, codes: list[Code]) -> int:
        wanted = codes if carrier is None else await resources.choose(conn, carrier=carrier)
        return len(await resources.restore(conn, wanted))

    _do(ctx, "restore", _one_of(which, carrier), work, "open to binds again", json=json, carrier=carrier)


COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "assign": assign,
    "open": open_,
    "close": close,
    "give": give,
    "drain": drain,
    "resume": resume,
    "return": return_,
    "set-aside": set_aside,
    "restore": restore,
}


def _do(
    ctx: typer.Context,
    what: str,
    which: list[str],
    work: Callable[[Connection, list[Code]], Awaitable[int]],
    said: str,
    *,
    json: bool,
    **details: Any,
) -> None:
    codes = ranges(which)
    count = change(ctx, what, "codes", lambda conn: work(conn, codes), codes=which, **details)
    if json:
        as_json({"codes": count})
    else:
        done(f"{count} codes {said}")


def _one_of(which: list[str] | None, carrier: int | None) -> list[str]:
    if bool(which) == (carrier is not None):
        raise BadRequest("give codes, or --carrier")
    return which or []
