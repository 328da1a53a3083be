"""``qibai migrate-bindings execute``."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from qibai.cli.desk import perform
from qibai.cli.migration.notify import tell
from qibai.cli.migration.progress import progress
from qibai.cli.migration.result import write_results
from qibai.cli.migration.source import (
    File,
    Form,
    From,
    OldFile,
    Orders,
    ProvinceOf,
    RejectFile,
    SceneOf,
    Shorten,
    TenantName,
    Ttl,
    tenant_of,
    terms_of,
)
from qibai.cli.options import JsonOut, config_of
from qibai.cli.outfile import OutFile
from qibai.cli.output import as_json, done, fail, note
from qibai.cli.resources.common import read
from qibai.core.binding import Scene
from qibai.core.errors import StepRefused
from qibai.core.oldfile import OrderFrom
from qibai.service import existing
from qibai.store import dsn
from qibai.store.connection import Connection
from qibai.store.existing.notice import TEXT
from qibai.store.existing.results import rejects
from qibai.store.existing.run import Execution, Outcome
from qibai.store.keys import Keyring


def execute(  # noqa: PLR0917  # options
    ctx: typer.Context,
    file: File,
    tenant: TenantName,
    shape: From = None,
    form: Form = None,
    orders: Orders = OrderFrom.OUT_ID,
    ttl: Ttl = None,
    shorten: Shorten = False,
    scene: SceneOf = Scene.OTHER,
    province: ProvinceOf = None,
    old_only: Annotated[
        bool, typer.Option("--old-only", help="Let the old numbers serve, bind no 700 numbers yet.")
    ] = False,
    rate: Annotated[float | None, typer.Option(min=0.1, help="The most bindings per second.")] = None,
    bad_file: Annotated[
        Path | None,
        typer.Option(
            "--rejects", dir_okay=False, help="Where what was not taken goes, by line; else FILE.rejects.csv."
        ),
    ] = None,
    result: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write old to new there, .csv or .jsonl.")
    ] = None,
    notify: Annotated[
        bool, typer.Option("--notify", help="Then tell both parties by text message, as `notify` does.")
    ] = False,
    json: JsonOut = False,
) -> None:
    """Take old bindings over and give each its 700 binding, in batches of 1,000, beside all other work.

    The file is checked whole first. Started again after it was stopped anywhere, it goes on; what is there
    already is left alone. The old numbers serve on (`cutover` ends that), as far as the pilot's rules allow.
    Example: qibai migrate-bindings execute old.jsonl --tenant acme --from aliyun --rate 2000
    """
    config = config_of(ctx)
    if notify and not config.messaging.enabled:
        raise StepRefused("text messages are switched off (messaging.enabled): no message can be sent")
    place = OutFile(config, bad_file or file.with_name(file.name + ".rejects.csv"), "rejects", file)
    result_place = OutFile(config, result, "result", file, place.at) if result is not None else None
    source = OldFile(file, form, shape, orders)
    terms = terms_of(config, ttl=ttl, shorten=shorten, scene=scene, province=province, old_only=old_only)
    who = tenant_of(ctx, tenant)
    keyring = Keyring.load(config.key_file)
    said = {"what": "migrate", "file": source.name, "digest": source.digest.hex()[:16]}
    _record(ctx, tenant, **said, state="begun")
    with progress(quiet=json) as step:
        run = Execution(dsn(config), keyring, who.tenant_id, source, terms)
        outcome = asyncio.run(run.run(step, rate=rate))
    counts = outcome.counts
    numbers = {
        "moved": counts.moved,
        "kept": counts.kept,
        "there": counts.earlier,
        "rejected": counts.rejected,
        "earlier_batches": outcome.before,
    }
    _record(ctx, tenant, **said, state="stopped" if outcome.wanting else "done", **numbers)
    bad = _write_rejects(ctx, outcome, place)
    if not bad and bad_file is None:
        place.at.unlink()
    if result_place is not None:
        write_results(ctx, who.tenant_id, result_place)
    if notify and not old_only:
        numbers["messages"] = tell(ctx, who.tenant_id, tenant, TEXT, rate, quiet=json)
    _say(outcome, numbers, place.path if bad else None, bad, json=json)
    if outcome.wanting is not None or counts.rejected:
        raise typer.Exit(1)


COMMANDS: Final[dict[str, Callable[..., None]]] = {"execute": execute}


def _record(ctx: typer.Context, tenant: str, **details: Any) -> None:
    perform(ctx, lambda desk: existing.note_step(desk, tenant, **details))


def _write_rejects(ctx: typer.Context, outcome: Outcome, place: OutFile) -> int:
    with place.open() as out:
        file = RejectFile(out)

        async def work(conn: Connection) -> None:
            async for one in rejects(conn, outcome.migration.id):
                file.add(one)

        read(ctx, work)
        return file.count


def _say(outcome: Outcome, numbers: dict[str, int], path: Path | None, bad: int, *, json: bool) -> None:
    wanting = outcome.wanting
    if json:
        stopped = None if wanting is None else {"code": wanting.code, "message": wanting.message}
        as_json(numbers | {"total": outcome.migration.total, "bad_file": path, "stopped": stopped})
        return
    if path is not None:
        note(f"{bad} were not taken as they stand: {path}")
    if wanting is not None:
        fail(wanting.code, f"{wanting.message} What was done so far stays; run the command again then.")
    earlier = f", {outcome.before} done by earlier runs" if outcome.before else ""
    done(
        f"{numbers['moved']} have a 700 number now, {numbers['kept']} serve under their old number alone, "
        f"{numbers['there']} were there before, {numbers['rejected']} rejected{earlier}"
    )
