"""``qibai keys``."""

from functools import partial
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from qibai.cli.desk import perform
from qibai.cli.identity import PersonKey, Why
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done, err, note
from qibai.config import Config
from qibai.core.errors import BadRequest, Conflict
from qibai.service import keys as service
from qibai.store import dsn, keyfile, made_keys
from qibai.store.failures import own_errors
from qibai.store.hosts import connect
from qibai.store.keys import Keyring
from qibai.store.messages import nodes_without_key
from qibai.store.rotate_hash import rotate_hash
from qibai.store.rotate_values import rotate_values
from qibai.store.rotating import RotationStep
from qibai.store.rotation import rotate_token

app = typer.Typer(help="Keys of encryption and look-up.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keys of encryption and look-up."""


@app.command()
def prepare(ctx: typer.Context, json: JsonOut = False) -> None:
    """Make the next keys, which nothing uses yet: for several machines, before a rotation.

    Copy the key file to all machines, then rotate. Run again, it makes no more keys.
    Example: qibai keys prepare
    """
    config = config_of(ctx)
    path = config.key_file
    with own_errors(), connect(dsn(config)) as conn:
        ids = made_keys.prepare(conn, path)
    perform(ctx, lambda desk: service.note_prepared(desk, ids))
    if json:
        as_json(ids)
    else:
        done(f"{path} has the next keys: " + ", ".join(f"{name} {id}" for name, id in ids.items()))


@app.command()
def rotate(  # noqa: PLR0917  # options
    ctx: typer.Context,
    hash_key: Annotated[bool, typer.Option("--hash", help="The key of look-ups.")] = False,
    token_key: Annotated[bool, typer.Option("--token", help="The key of dialog tokens.")] = False,
    why: Why = "",
    api_key: PersonKey = None,
    json: JsonOut = False,
) -> None:
    """Make a new key and move all data to it while everything runs; run again, it goes on where it stopped.

    Takes two persons (`qibai dual`), but for going on. Without an option: the key that encrypts numbers.
    Example: qibai keys rotate --hash
    """
    if hash_key and token_key:
        raise BadRequest("rotate one key at a time: --hash or --token")
    config = config_of(ctx)
    keyring = Keyring.load(config.key_file)
    kind = "token" if token_key else "hash" if hash_key else "value"
    _require_everywhere(config, kind)
    started = partial(_started, ctx, kind, why, api_key)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rows]} rows"))
    with Progress(*columns, console=err, disable=json or token_key) as bar:
        tasks: dict[str, TaskID] = {}
        rows: dict[str, dict[str, int]] = {}

        def progress(step: RotationStep) -> None:
            name, *rest = step.job.split(":")
            if step.job not in tasks:
                text = f"{name}, written meanwhile" if "late" in rest else name
                tasks[step.job] = bar.add_task(text, total=step.parts, rows=0)
            moved = rows.setdefault(step.job, {})
            moved[step.part] = step.rows
            bar.update(tasks[step.job], completed=step.parts_done, rows=sum(moved.values()))

        result: dict[str, Any] = {"key": kind}
        if token_key:
            started(True)
            result["id"] = rotate_token(dsn(config), keyring)
        elif hash_key:
            result["id"] = rotate_hash(dsn(config), keyring, progress, started=started)
        else:
            values = rotate_values(dsn(config), keyring, progress, started=started)
            result |= {"id": values.key_id, "rows": values.rows, "broken": values.broken}
    perform(ctx, lambda desk: service.note_rotated(desk, kind, result["id"]))
    if json:
        as_json(result)
    else:
        done(f"the {result['key']} key is now number {result['id']}")
        if config.store.dsn:
            note(f"copy {config.key_file} to the other machines that use this database")
    if result.get("broken"):
        note(f"{result['broken']} rows stay as they are: no key can decrypt a value in them")
        raise typer.Exit(1)


def _require_everywhere(config: Config, section: str) -> None:
    """Raise Conflict while another node's gateway has not got the key that the rotation would use."""
    with own_errors(), connect(dsn(config)) as conn:
        id = keyfile.next_id(config.key_file, section)
        nodes = nodes_without_key(conn, section, id, but=config.node)
    if nodes:
        raise Conflict(
            f"{', '.join(nodes)} would not have the new key: give `qibai keys prepare`,"
            f" copy {config.key_file} there, then rotate"
        )


def _started(ctx: typer.Context, kind: str, why: str, api_key: str | None, new: bool) -> None:
    """A new rotation takes two persons; one that was interrupted was approved then."""
    if new:
        perform(ctx, lambda desk: service.begin_rotation(desk, kind, why), api_key)
    else:
        perform(ctx, lambda desk: service.go_on(desk, kind))
