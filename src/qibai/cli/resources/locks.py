"""``qibai number …``: locks on single numbers."""

from typing import Annotated

import typer

from qibai.cli.desk import perform
from qibai.cli.options import JsonOut
from qibai.cli.output import as_json, done, table
from qibai.cli.resources.common import read
from qibai.cli.times import shown
from qibai.core.numbering import Number700
from qibai.service import limits

app = typer.Typer(help="Lock and unlock 700 numbers.", no_args_is_help=True)
Which = Annotated[str, typer.Argument(help="The 700 number.")]


@app.command()
def lock(
    ctx: typer.Context,
    number: Which,
    why: Annotated[str, typer.Option(help="Why.")],
    calls: Annotated[bool, typer.Option("--calls", help="Refuse calls to it too.")] = False,
    json: JsonOut = False,
) -> None:
    """Lock a number: it is bound no more. What is bound goes on, unless --calls.

    Example: qibai number lock 700123456780042 --why "a complaint" --calls
    """
    which = Number700.parse(number)
    perform(ctx, lambda desk: limits.lock(desk, which, why=why, stops_calls=calls))
    if json:
        as_json({"number": str(which), "stops_calls": calls})
    else:
        done(f"{which} is locked" + (", also for calls" if calls else ""))


@app.command()
def unlock(ctx: typer.Context, number: Which, json: JsonOut = False) -> None:
    """Undo lock.

    Example: qibai number unlock 700123456780042
    """
    which = Number700.parse(number)
    perform(ctx, lambda desk: limits.unlock(desk, which))
    if json:
        as_json({"number": str(which)})
    else:
        done(f"{which} is unlocked")


@app.command("list")
def list_(ctx: typer.Context, json: JsonOut = False) -> None:
    """List locked numbers.

    Example: qibai number list --json
    """
    found = read(ctx, limits.list_locks)
    if json:
        as_json(
            [
                {
                    "number": str(one.number),
                    "stops_calls": one.stops_calls,
                    "why": one.why,
                    "at": one.locked_at,
                }
                for one in found
            ]
        )
    else:
        rows = (
            (one.number, "yes" if one.stops_calls else "no", one.why, shown(one.locked_at)) for one in found
        )
        table(("number", "stops calls", "why", "since"), rows)
