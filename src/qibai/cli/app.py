"""The command ``qibai`` and its options; ``qibai.cli.commands`` has the table of its subcommands."""

from pathlib import Path
from typing import Annotated

import typer

from qibai.cli.commands import Commands
from qibai.cli.options import State

app = typer.Typer(
    name="qibai",
    cls=Commands,
    help="Qibai: number protection for China's 700 range.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    """Print the version, and do nothing else."""
    if wanted:
        from qibai.cli.version import version  # noqa: PLC0415  # when it is used

        version()
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(envvar="QIBAI_HOME", help="Keys, data, configuration.", show_default=".qibai"),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--as", envvar="QIBAI_AS", help="Who acts, for the audit trail.", show_default="user"),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Temporary middle numbers for calls."""
    ctx.obj = State(home, name)
