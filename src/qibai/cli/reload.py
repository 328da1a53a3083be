"""``qibai reload``."""

import typer

from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done, note
from qibai.supervise.reload import reload as take_over


def reload(ctx: typer.Context, json: JsonOut = False) -> None:
    """Take over changed peers, links and limits while everything runs; name what needs a restart.

    Example: qibai reload
    """
    found = take_over(config_of(ctx))
    if json:
        as_json({"taken": found.taken, "restart": found.restart})
        return
    for part, keys in found.taken.items():
        done(f"{part} runs with the new {', '.join(keys)}")
    for part, keys in found.restart.items():
        note(f"{part} needs a restart for {', '.join(keys)} (qibai down, qibai up; or systemctl restart)")
    if not found.taken and not found.restart:
        done("the running parts use the present configuration")
