"""The life of codes, as further commands of ``qibai code``."""

from collections.abc import Callable
from typing import Annotated, Final

import typer

from qibai.cli.desk import perform
from qibai.cli.options import JsonOut
from qibai.cli.output import as_json, done
from qibai.cli.resources.common import Provinces, provinces_of
from qibai.core.numbering import parse_codes
from qibai.service import codes

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
    chosen = parse_codes(which)
    count = perform(ctx, lambda desk: codes.assign(desk, chosen, certificate))
    _say(count, f"assigned by {certificate}", json=json)


def open_(ctx: typer.Context, which: Which, province: Provinces, json: JsonOut = False) -> None:
    """The carrier has opened codes in these provinces, too.

    Example: qibai code open 70010000001-70010000020 --province Guangdong --province Shanghai
    """
    chosen, where = parse_codes(which), provinces_of(province)
    _say(perform(ctx, lambda desk: codes.open_(desk, chosen, where)), "open there", json=json)


def close(ctx: typer.Context, which: Which, province: Provinces, json: JsonOut = False) -> None:
    """Bind nothing new on codes in these provinces; what is bound goes on.

    Example: qibai code close 70010000001-70010000020 --province Guangdong
    """
    chosen, where = parse_codes(which), provinces_of(province)
    _say(perform(ctx, lambda desk: codes.close(desk, chosen, where)), "closed there", json=json)


def give(
    ctx: typer.Context,
    which: Which,
    tenant: Annotated[str, typer.Option(help="Who may bind them.")],
    json: JsonOut = False,
) -> None:
    """Let a tenant of the codes' own application platform bind their numbers.

    Example: qibai code give 70010000001-70010000020 --tenant acme
    """
    chosen = parse_codes(which)
    _say(perform(ctx, lambda desk: codes.give(desk, chosen, tenant)), f"given to {tenant}", json=json)


def drain(ctx: typer.Context, which: Which, json: JsonOut = False) -> None:
    """Bind nothing new on codes that will be returned; what is bound is served to its end.

    Example: qibai code drain 70010000001-70010000020
    """
    chosen = parse_codes(which)
    _say(perform(ctx, lambda desk: codes.drain(desk, chosen)), "draining", json=json)


def resume(ctx: typer.Context, which: Which, json: JsonOut = False) -> None:
    """Cancel a drain.

    Example: qibai code resume 70010000001-70010000020
    """
    chosen = parse_codes(which)
    _say(perform(ctx, lambda desk: codes.resume(desk, chosen)), "in use again", json=json)


def return_(ctx: typer.Context, which: Which, json: JsonOut = False) -> None:
    """Give drained codes back, once nothing is bound on them or in quarantine.

    Example: qibai code return 70010000001-70010000020
    """
    chosen = parse_codes(which)
    _say(perform(ctx, lambda desk: codes.return_(desk, chosen)), "returned", json=json)


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
    chosen = parse_codes(which or ())
    count = perform(ctx, lambda desk: codes.set_aside(desk, chosen, why, carrier=carrier))
    _say(count, "set aside", json=json)


def restore(ctx: typer.Context, which: Some = None, carrier: Carrier = None, json: JsonOut = False) -> None:
    """Undo set-aside.

    Example: qibai code restore --carrier 3
    """
    chosen = parse_codes(which or ())
    count = perform(ctx, lambda desk: codes.restore(desk, chosen, carrier=carrier))
    _say(count, "open to binds again", json=json)


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


def _say(count: int, what: str, *, json: bool) -> None:
    if json:
        as_json({"codes": count})
    else:
        done(f"{count} codes {what}")
