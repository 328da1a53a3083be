"""``qibai tenant messages``: what is done with the text of a tenant's messages."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from qibai.cli.desk import perform
from qibai.cli.options import JsonOut
from qibai.cli.output import as_json, done, say, table
from qibai.core.content import Hook, NumbersInText, OnTimeout
from qibai.service import message_policy as service


def messages(  # noqa: PLR0917  # Typer calls it by name
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The tenant's name.")],
    numbers: Annotated[
        NumbersInText | None, typer.Option(help="Real numbers in a text: star, refuse, or let pass.")
    ] = None,
    hook: Annotated[Hook | None, typer.Option(help="Let texts go on, refuse them, or ask --url.")] = None,
    url: Annotated[str | None, typer.Option(help="The tenant's service that `ask` asks.")] = None,
    timeout_ms: Annotated[int | None, typer.Option(help="How long it may take.")] = None,
    on_timeout: Annotated[OnTimeout | None, typer.Option(help="When it gives no answer in time.")] = None,
    new_secret: Annotated[bool, typer.Option("--new-secret", help="Make a new signing secret.")] = False,
    json: JsonOut = False,
) -> None:
    """Show what is done with the text of a tenant's messages, or change what the options name.

    Example: qibai tenant messages acme --numbers block
    """
    given: dict[str, Any] = {
        "numbers": numbers,
        "hook": hook,
        "url": url,
        "timeout_ms": timeout_ms,
        "on_timeout": on_timeout,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    policy, secret = perform(ctx, lambda desk: service.change(desk, name, changes, new_secret=new_secret))
    if policy.hook is not Hook.ASK and not new_secret:
        secret = None
    if json:
        as_json({**asdict(policy), **({"secret": secret} if secret else {})})
        return
    if changes:
        done(f"messages of {name}: from now on")
    table(("what", "is"), asdict(policy).items())
    if secret:
        say("signing secret (Standard Webhooks): ", secret)
