"""``qibai migrate-bindings``: move existing business from old middle numbers to 700 numbers."""

from typing import Final

import typer

from qibai.cli.migration import execute, notify, plan, result, turns

app: Final = typer.Typer(
    help="Move bindings from old middle numbers to 700 numbers: plan, execute, cut over, roll back.",
    no_args_is_help=True,
)


@app.callback()
def group() -> None:
    """Move bindings from old middle numbers outside 700 to 700 numbers, in the transition.

    Both numbers lead to the same party until the tenant cuts over. See docs/migration.md.
    """


for _module in (plan, execute, turns, result, notify):
    for _name, _command in _module.COMMANDS.items():
        app.command(_name)(_command)
