"""``qibai take-over``."""

from typing import Annotated

import typer

from qibai.cli.desk import perform
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done
from qibai.service import nodes


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
    count = perform(ctx, lambda desk: nodes.take_over(desk, node, living))
    if json:
        as_json({"node": node, "to": living, "messages": count})
    else:
        done(f"{count} messages of {node} are {living}'s now")
