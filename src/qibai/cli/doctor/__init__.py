"""``qibai doctor``."""

import typer

from qibai.cli.doctor.checks import run_checks
from qibai.cli.doctor.finding import State
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, out

_MARKS = {
    State.OK: "[green]✓[/green]",
    State.WARN: "[yellow]![/yellow]",
    State.FAIL: "[red]✗[/red]",
    State.SKIP: "[dim]–[/dim]",
}


def doctor(ctx: typer.Context, json: JsonOut = False) -> None:
    """Check every part, and say what is wrong and how to mend it; the exit status is 1 if something is.

    Example: qibai doctor --json
    """
    found = run_checks(config_of(ctx))
    failed = any(one.state is State.FAIL for one in found)
    if json:
        as_json({"ok": not failed, "checks": found})
    else:
        for one in found:
            out.print(f"{_MARKS[one.state]} [bold]{one.name}[/bold]", end="  ")
            out.print(one.says, markup=False)
            if one.mend:
                out.print(f"    mend: {one.mend}", markup=False)
    if failed:
        raise typer.Exit(1)
