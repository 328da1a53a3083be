"""``qibai migrate``."""

import typer

from qibai.cli.actor import actor_of
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done
from qibai.store.upgrade import upgrade


def migrate(ctx: typer.Context, json: JsonOut = False) -> None:
    """Bring the database's schema up to date, as its owner; safe to run at any time, by many at once.

    Example: qibai migrate
    """
    applied = upgrade(config_of(ctx), actor_of(ctx))
    if json:
        as_json({"applied": applied})
    else:
        done(f"applied {', '.join(applied)}" if applied else "the schema is up to date")
