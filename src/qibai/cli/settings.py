"""``qibai config``."""

from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, say, table
from qibai.cli.reference import reference, sample


class What(StrEnum):
    EFFECTIVE = "effective"
    SAMPLE = "sample"
    REFERENCE = "reference"


def config(
    ctx: typer.Context,
    what: Annotated[What, typer.Argument(help="What to print.")] = What.EFFECTIVE,
    json: JsonOut = False,
) -> None:
    """Print the configuration in effect, a sample file, or the reference page.

    Example: qibai config sample > qibai.toml
    """
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


COMMANDS = {"config": config}
