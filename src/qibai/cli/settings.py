"""``qibai config``."""

from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from qibai.cli.options import JsonOut, State, config_of
from qibai.cli.output import as_json, done, out, say, table
from qibai.cli.reference import reference, sample
from qibai.settings.read import survey
from qibai.supervise import preflight
from qibai.supervise.state import supervisor_pid


class What(StrEnum):
    EFFECTIVE = "effective"
    SAMPLE = "sample"
    REFERENCE = "reference"
    CHECK = "check"


def config(
    ctx: typer.Context,
    what: Annotated[What, typer.Argument(help="What to print.")] = What.EFFECTIVE,
    json: JsonOut = False,
) -> None:
    """Print the configuration in effect, a sample file, or the reference page; or check it.

    The check finds all mistakes at once, and what this machine lacks; then the exit status is 1.

    Example: qibai config check
    """
    if what is What.CHECK:
        _check(ctx, json=json)
        return
    if what is not What.EFFECTIVE:
        text = sample() if what is What.SAMPLE else reference()
        if json:
            as_json({what.value: text})
        else:
            typer.echo(text, nl=False)
        return
    found = msgspec.to_builtins(config_of(ctx), enc_hook=str)
    for key in ("dsn", "owner_dsn", "read_dsn"):
        if found["store"][key]:
            found["store"][key] = "(set, not shown)"  # it may hold a password
    if json:
        as_json(found)
        return
    say(f"home {found['home']}")
    sections = {name: body for name, body in found.items() if isinstance(body, dict)}
    rows = ((name, key, value) for name, body in sections.items() for key, value in body.items())
    table(("section", "key", "value"), rows)


def _check(ctx: typer.Context, *, json: bool) -> None:
    state = ctx.find_object(State)
    found = survey(state.home if state else None)
    mistakes = [*found.mistakes, *preflight.machine_mistakes(found.config)]
    if supervisor_pid(found.config) is None:  # else its ports are taken, by itself
        wrong = {mistake.key for mistake in found.mistakes}
        mistakes += [one for one in preflight.port_mistakes(found.config) if one.key not in wrong]
    if json:
        as_json({"ok": not mistakes, "mistakes": [msgspec.to_builtins(one) for one in mistakes]})
    elif not mistakes:
        done(f"{found.config.file}: no mistake found")
    for one in () if json else mistakes:
        out.print("[red]✗[/red] ", end="")
        say(f"{one.where}: {one.key}: {one.says}" if one.key else f"{one.where}: {one.says}")
        if one.mend:
            say(f"    mend: {one.mend}")
    if mistakes:
        raise typer.Exit(1)
