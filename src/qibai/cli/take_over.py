"""``qibai take-over``."""

from typing import Annotated

import typer

from qibai.cli.database import Connection, Record, act
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done
from qibai.core.roles import Action
from qibai.store import messages


def take_over(
    ctx: typer.Context,
    node: Annotated[str, typer.Argument(help="The node that has fallen silent, as `qibai doctor` names it.")],
    to: Annotated[
        str | None,
        typer.Option(
            envvar="QIBAI_TO", help="The node that gets its messages.", show_default="the configured node"
        ),
    ] = None,
    json: JsonOut = False,
) -> None:
    """Give the text messages of a node that does not come back to a node that runs.

    What the silent node may have sent goes out once more at most. Its gateway, if it wakes, sends none of it.
    Example: qibai take-over n2 --to n1
    """
    living = to or config_of(ctx).node

    async def work(conn: Connection, record: Record) -> int:
        count = await messages.take_over(conn, node, living)
        await record(Action.MESSAGE_TAKE_OVER, f"node:{node}", to=living, messages=count)
        return count

    count = act(ctx, work)
    if json:
        as_json({"node": node, "to": living, "messages": count})
    else:
        done(f"{count} messages of {node} are {living}'s now")
