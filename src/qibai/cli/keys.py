"""``qibai keys rotate``."""

from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn

from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done, err
from qibai.core.errors import BadRequest
from qibai.store import dsn
from qibai.store.keys import Keyring
from qibai.store.rotate_hash import rotate_hash
from qibai.store.rotate_values import rotate_values
from qibai.store.rotating import RotationStep
from qibai.store.rotation import rotate_token

app = typer.Typer(help="Keys of encryption and look-up.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keys of encryption and look-up."""


@app.command()
def rotate(
    ctx: typer.Context,
    hash_key: Annotated[bool, typer.Option("--hash", help="The key of look-ups.")] = False,
    token_key: Annotated[bool, typer.Option("--token", help="The key of dialog tokens.")] = False,
    json: JsonOut = False,
) -> None:
    """Make a new key and move all data to it while everything runs; run again, it goes on where it stopped.

    Without an option: the key that encrypts numbers. Example: qibai keys rotate --hash
    """
    if hash_key and token_key:
        raise BadRequest("rotate one key at a time: --hash or --token")
    config = config_of(ctx)
    keyring = Keyring.load(config.key_file)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rows]} rows"))
    with Progress(*columns, console=err, disable=json or token_key) as bar:
        tasks = {}

        def progress(step: RotationStep) -> None:
            name = step.job.partition(":")[0]
            if step.job not in tasks:
                tasks[step.job] = bar.add_task(name, total=step.parts, rows=0)
            bar.update(tasks[step.job], completed=step.parts_done, rows=step.rows)

        if token_key:
            result = {"key": "token", "id": rotate_token(keyring)}
        elif hash_key:
            result = {"key": "hash", "id": rotate_hash(dsn(config), keyring, progress)}
        else:
            values = rotate_values(dsn(config), keyring, progress)
            result = {"key": "value", "id": values.key_id, "rows": values.rows, "broken": values.broken}
    if json:
        as_json(result)
    else:
        done(f"the {result['key']} key is now number {result['id']}")
    if result.get("broken"):
        raise typer.Exit(1)
