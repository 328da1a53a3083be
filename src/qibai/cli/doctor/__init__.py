"""``qibai doctor``."""

import typer

from qibai.cli.doctor.checks import run_checks
from qibai.cli.doctor.finding import State
from qibai.cli.language import local
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, out, say

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
            out.print(f"{_MARKS[one.state]} [bold]{local(one.name)}[/bold]", end="  ")
            say(one.says)
            if one.mend:
                say(f"    mend: {one.mend}")
    if failed:
        raise typer.Exit(1)
