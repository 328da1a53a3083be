"""``qibai backup`` and ``qibai restore``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from qibai.cli.actor import actor_of
from qibai.cli.desk import perform
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done, err, note, say
from qibai.cli.times import shown
from qibai.config import Config
from qibai.core.errors import BadRequest, Conflict, KeyFileError
from qibai.service import backup as service
from qibai.store.backup import Restored, check_backup, drill, make_backup, prune, restore_backup
from qibai.supervise import state

KeysFile = Annotated[
    Path | None, typer.Option("--keys", help="The copy of the key file; without it the home's own.")
]


def backup(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(help="Where backups go; else backup.folder, else backups in the home.")
    ] = None,
    keys_to: Annotated[
        Path | None, typer.Option("--keys-to", help="Copy the key file there: another disk, another safe.")
    ] = None,
    json: JsonOut = False,
) -> None:
    """Back up the database, the audit anchors, the spool and the journal while everything runs.

    The key file is not in the backup: without it nobody can read the numbers, not even you.
    Example: qibai backup /srv/backups --keys-to /mnt/safe
    """
    config = config_of(ctx)
    target = folder or folder_of(config)
    with err.status("backing up …") as status:
        made, manifest = make_backup(
            config, target, keys_to, lambda step: status.update(f"backing up: {step} …")
        )
    perform(ctx, lambda desk: service.note_made(desk, made.name, with_keys=keys_to is not None))
    old = prune(target, config.node, config.backup.keep)
    if json:
        as_json(
            {
                "folder": made,
                "made_at": manifest.made_at,
                "size": manifest.size,
                "rows": manifest.rows,
                "removed": old,
            }
        )
        return
    done(f"{made}: {decimal(manifest.size)}, {_rows(manifest.rows)}")
    if old:
        say(f"removed {len(old)} older ones (backup.keep = {config.backup.keep})")
    if keys_to is None:
        note(f"The key file is not in it. Keep a copy of {config.key_file} elsewhere (--keys-to).")


def restore(  # noqa: PLR0917  # options
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A backup: the folder that `qibai backup` made.")],
    keys: KeysFile = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Move what the home has now aside; nothing is removed.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only read the backup whole, and check digests, seal and keys.")
    ] = False,
    drill_: Annotated[
        bool, typer.Option("--drill", help="Restore into a temporary home, check it, remove it.")
    ] = False,
    json: JsonOut = False,
) -> None:
    """Put a backup back into this home, or only see whether that would work.

    The platform has to be stopped, but not for --check and --drill. Example: qibai restore DIR --drill
    """
    if check and drill_:
        raise BadRequest("choose --check or --drill; a drill checks the backup first")
    config = config_of(ctx)
    if keys is None and not config.key_file.exists():
        raise KeyFileError(f"{config.key_file} is not there: give the backup's key file, --keys FILE")
    if check:
        manifest = check_backup(folder, keys or config.key_file)
        if json:
            as_json({"folder": folder, "made_at": manifest.made_at, "rows": manifest.rows})
        else:
            done(f"{folder} is whole: {_rows(manifest.rows)}, made at {shown(manifest.made_at)}")
        return
    with err.status("restoring …") as status:

        def progress(step: str) -> None:
            status.update(f"restoring: {step} …")

        if drill_:
            result = drill(config, folder, keys, progress)
        else:
            pid = state.supervisor_pid(config)
            if pid is not None:
                raise Conflict(f"the platform runs (process {pid}); stop it first: qibai down")
            result = restore_backup(
                config, folder, keys, replace=replace, progress=progress, actor=actor_of(ctx)
            )
    if json:
        as_json(
            {
                "folder": folder,
                "made_at": result.manifest.made_at,
                "rows": result.rows,
                "aside": result.aside,
                "drill": drill_,
            }
        )
        return
    _tell(config, result, drilled=drill_)


def folder_of(config: Config) -> Path:
    """Where backups go unless the command says otherwise."""
    return Path(config.backup.folder) if config.backup.folder else config.home / "backups"


def _tell(config: Config, result: Restored, *, drilled: bool) -> None:
    made = shown(result.manifest.made_at)
    done(f"{'the drill held' if drilled else f'{config.home} is restored'}: {_rows(result.rows)}")
    if drilled:
        return
    say(f"It is as it was at {made}. What happened later is not in it:")
    say("  a binding that was released since then is live again until it expires; release it once more.")
    if result.aside is not None:
        say(f"What was there before is in {result.aside}; remove that when you need it no more.")
    say("Next: qibai up, then qibai doctor and qibai audit verify.")


def _rows(rows: dict[str, int]) -> str:
    words = {"binding": "bindings", "call": "calls", "message": "messages", "audit": "audit entries"}
    return ", ".join(f"{rows.get(table, 0)} {word}" for table, word in words.items())
