"""``qibai demo``."""

import typer

from qibai.cli.actor import actor_of
from qibai.cli.demo.call import place_call
from qibai.cli.demo.message import send_message
from qibai.cli.demo.prepare import prepare
from qibai.cli.demo.report import report
from qibai.cli.options import JsonOut, config_of


def demo(ctx: typer.Context, json: JsonOut = False) -> None:
    """Start the platform, place a call and send a message through 700 numbers, show what each side saw.

    Example: qibai demo
    """
    ready = prepare(config_of(ctx), actor_of(ctx), quiet=json)
    seen = place_call(ready, quiet=json)
    report(ready, seen, send_message(ready, quiet=json), json=json)
