"""``qibai migrate-bindings notify``."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Final

import typer

from qibai.cli.desk import perform
from qibai.cli.migration.progress import progress
from qibai.cli.migration.source import TenantName, tenant_of
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done
from qibai.core.errors import StepRefused
from qibai.service import existing
from qibai.store import dsn
from qibai.store.existing.notice import TEXT, Notices
from qibai.store.existing.run import Step
from qibai.store.hosts import connect_async
from qibai.store.keys import Keyring

TextOf = Annotated[str, typer.Option("--text", help="The text that they get; {number} is the one to dial.")]


def notify(
    ctx: typer.Context,
    tenant: TenantName,
    text: TextOf = TEXT,
    rate: Annotated[float | None, typer.Option(min=0.1, help="The most bindings per second.")] = None,
    json: JsonOut = False,
) -> None:
    """Tell both parties of each moved binding by text message which 700 number to dial; each once.

    The messages are queued; the gateway sends them (docs/messages.md). Started again, it goes on.
    Example: qibai migrate-bindings notify --tenant acme --rate 50
    """
    config = config_of(ctx)
    if not config.messaging.enabled:
        raise StepRefused("text messages are switched off (messaging.enabled): no message can be sent")
    who = tenant_of(ctx, tenant)
    queued = tell(ctx, who.tenant_id, tenant, text, rate, quiet=json)
    if json:
        as_json({"tenant": tenant, "messages": queued})
    else:
        done(f"{queued} messages queued")


def tell(  # what a notice is made of
    ctx: typer.Context, tenant_id: int, tenant: str, text: str, rate: float | None, *, quiet: bool
) -> int:
    """Queue the messages and record that; returns how many."""
    config = config_of(ctx)
    keyring = Keyring.load(config.key_file)

    async def run(step: Step) -> int:
        async with await connect_async(
            dsn(config),
            connect_timeout_s=config.store.connect_timeout_s,
            application_name="qibai-migration",
        ) as conn:
            valid = timedelta(seconds=config.messaging.validity_s)
            return await Notices(conn, keyring, tenant_id, text, valid).run(step, rate=rate)

    with progress(quiet=quiet) as step:
        queued = asyncio.run(run(step))
    perform(ctx, lambda desk: existing.note_step(desk, tenant, what="migration told", messages=queued))
    return queued


COMMANDS: Final[dict[str, Callable[..., None]]] = {"notify": notify}
