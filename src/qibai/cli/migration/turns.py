"""``qibai migrate-bindings status``, ``cutover``, ``rollback``."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Final

import typer

from qibai.cli.desk import perform
from qibai.cli.migration.progress import progress
from qibai.cli.migration.source import TenantName, tenant_of
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done, say, table
from qibai.cli.resources.common import instant
from qibai.cli.times import shown
from qibai.service import existing
from qibai.store import dsn
from qibai.store.existing import business
from qibai.store.existing.rollback import RollBack, RolledBack
from qibai.store.existing.run import Step, turn
from qibai.store.keys import Keyring


def status(ctx: typer.Context, tenant: TenantName, json: JsonOut = False) -> None:
    """Where a tenant's move stands: its live old bindings, its files, and whether it has cut over.

    Example: qibai migrate-bindings status --tenant acme
    """
    found = tenant_of(ctx, tenant)
    if json:
        as_json(asdict(found))
        return
    if found.began_at is None:
        say(f"nothing of {tenant}'s old business was taken over")
        return
    serve = "serve, as far as the pilot's rules let them"
    cut = f"are refused since {shown(found.cut_over_at)}" if found.cut_over_at else serve
    say(f"the old numbers {cut}")
    say(
        f"live: {found.moved} with a 700 number, {found.kept} under their old number alone;"
        f" ended: {found.ended}"
    )
    table(
        ("file", "began", "finished", "bindings", "moved", "kept", "were there", "rejected"),
        (
            (
                one.file,
                shown(one.began_at),
                shown(one.finished_at),
                one.total,
                one.moved,
                one.kept,
                one.earlier,
                one.rejected,
            )
            for one in found.files
        ),
    )


def cutover(
    ctx: typer.Context,
    tenant: TenantName,
    force: Annotated[
        bool, typer.Option("--force", help="Cut over even if live old bindings have no 700 number.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Let the old numbers serve again.")] = False,
    json: JsonOut = False,
) -> None:
    """Refuse the tenant's old numbers from now on (rule moved_to_700); its 700 numbers go on.

    Example: qibai migrate-bindings cutover --tenant acme
    """
    left = 0
    if undo:
        perform(ctx, lambda desk: existing.go_on(desk, tenant))
    else:
        left = perform(ctx, lambda desk: existing.cut_over(desk, tenant, force=force))
    if json:
        as_json({"tenant": tenant, "cut_over": not undo, "without_700": left})
    elif undo:
        done(f"the old numbers of {tenant} serve again, beside its 700 numbers")
    else:
        done(
            f"the old numbers of {tenant} are refused from now on"
            + (f"; {left} had no 700 number" if left else "")
        )


def rollback(ctx: typer.Context, tenant: TenantName, json: JsonOut = False) -> None:
    """Release the 700 bindings that took old ones' place; the old numbers serve on, also after a cutover.

    What had ended meanwhile stays ended, and what changed hands ends. Stopped anywhere, it goes on when it is
    run again; afterwards files can be executed again.
    Example: qibai migrate-bindings rollback --tenant acme
    """
    config = config_of(ctx)
    keyring = Keyring.load(config.key_file)

    async def run(step: Step) -> RolledBack:
        async with turn(dsn(config)) as conn:
            async with conn.transaction():
                now = instant(None)
                id = await business.begin_roll_back(conn, tenant, config.pilot.rules, now=now)
            back = RollBack(conn, keyring, id, timedelta(seconds=config.binding.quarantine_s))
            return await back.run(step)

    perform(ctx, lambda desk: existing.note_step(desk, tenant, what="rollback", state="begun"))
    with progress(quiet=json) as step:
        result = asyncio.run(run(step))
    numbers = asdict(result)
    perform(ctx, lambda desk: existing.note_step(desk, tenant, what="rollback", state="done", **numbers))
    if json:
        as_json({"tenant": tenant} | numbers)
    else:
        done(f"{result.gone_on} go on under their old number, {result.ended} have ended")


COMMANDS: Final[dict[str, Callable[..., None]]] = {"status": status, "cutover": cutover, "rollback": rollback}
