"""When this home was backed up last, and where to: ``backup.json`` in the home, for ``doctor``."""

import os
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from qibai.config import Config
from qibai.files import replace_file

_NAME: Final = "backup.json"


class LastBackup(msgspec.Struct, frozen=True):
    """``keys``: the last copy of the key file that a backup made; empty when there was none."""

    folder: str
    made_at: datetime
    size: int
    keys: str = ""


def last_backup(config: Config) -> LastBackup | None:
    """The last complete backup; None when there was none, or its note cannot be read."""
    try:
        return msgspec.json.decode((config.home / _NAME).read_bytes(), type=LastBackup)
    except (OSError, msgspec.MsgspecError):
        return None


def note_backup(config: Config, made: LastBackup) -> None:
    """Note a complete backup. Raise OSError."""
    before = last_backup(config)
    if not made.keys and before is not None:
        made = msgspec.structs.replace(made, keys=before.keys)
    replace_file(config.home / _NAME, msgspec.json.encode(made) + b"\n", owner_of=config.home)


def give_to_owner(path: Path, home: Path) -> None:
    """When root made ``path``, give it to whoever the home belongs to."""
    if os.geteuid() == 0:
        owner = home.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
