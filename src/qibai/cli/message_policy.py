"""``qibai tenant messages``: what is done with the text of a tenant's messages."""

from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

from qibai.cli.database import Connection, Record, act
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done, say, table
from qibai.core.content import ContentPolicy, Hook, NumbersInText, OnTimeout
from qibai.core.roles import Action
from qibai.store import tenants
from qibai.store.keys import Keyring
from qibai.store.message_policy import get_policy, set_policy


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
    config = config_of(ctx)
    keyring = Keyring.load(config.key_file)
    given: dict[str, Any] = {
        "numbers": numbers,
        "hook": hook,
        "url": url,
        "timeout_ms": timeout_ms,
        "on_timeout": on_timeout,
    }
    changes = {key: value for key, value in given.items() if value is not None}

    async def work(conn: Connection, record: Record) -> tuple[ContentPolicy, str | None]:
        tenant = await tenants.find_tenant(conn, name)
        policy = replace((await get_policy(conn, tenant.id)).policy, **changes)
        if not changes and not new_secret:
            return policy, None
        plain_http = config.messaging.hook_plain_http
        secret = await set_policy(
            conn, keyring, tenant.id, policy, plain_http=plain_http, new_secret=new_secret
        )
        await record(
            Action.MESSAGE_POLICY, f"tenant:{name}", numbers=policy.numbers.value, hook=policy.hook.value
        )
        return policy, secret if policy.hook is Hook.ASK or new_secret else None

    policy, secret = act(ctx, work)
    if json:
        as_json({**asdict(policy), **({"secret": secret} if secret else {})})
        return
    if changes:
        done(f"messages of {name}: from now on")
    table(("what", "is"), asdict(policy).items())
    if secret:
        say("signing secret (Standard Webhooks): ", secret)
