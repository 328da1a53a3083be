"""``qibai carrier …``."""

from typing import Annotated

import typer

from qibai.cli.desk import perform
from qibai.cli.options import JsonOut
from qibai.cli.output import as_json, done, table
from qibai.cli.resources.common import read
from qibai.service import platforms

app = typer.Typer(help="Carriers, by the fourth digit of their 700 numbers.", no_args_is_help=True)


@app.command("set")
def set_(
    ctx: typer.Context,
    digit: Annotated[int, typer.Argument(help="0 to 9.", min=0, max=9)],
    name: Annotated[str, typer.Argument(help="The carrier's name.")],
    json: JsonOut = False,
) -> None:
    """Name the carrier of a digit.

    Example: qibai carrier set 1 "China Telecom"
    """
    perform(ctx, lambda desk: platforms.name_carrier(desk, digit, name))
    if json:
        as_json({"digit": digit, "name": name})
    else:
        done(f"the numbers 700{digit}… are {name}'s")


@app.command("list")
def list_(ctx: typer.Context, json: JsonOut = False) -> None:
    """List carriers, how many codes they have, and how many of these are set aside.

    Example: qibai carrier list
    """
    found = read(ctx, platforms.list_carriers)
    if json:
        as_json(found)
    else:
        rows = ((c.digit, c.name, c.codes, c.set_aside) for c in found)
        table(("digit", "carrier", "codes", "set aside"), rows)
