"""When was the last backup?"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from qibai.cli.doctor.finding import Finding, ok, skip, warn
from qibai.config import Config
from qibai.store.backup import last_backup


def check_backup_age(config: Config) -> Finding:
    """A warning when there is none, when it is too old, or when it is not there any more."""
    if not config.backup.max_age_h:
        return skip("backup", "not watched (backup.max_age_h = 0)")
    last = last_backup(config)
    if last is None:
        return warn("backup", "no backup was made from this home", "qibai backup --keys-to FOLDER")
    age = datetime.now(UTC) - last.made_at
    hours = max(int(age / timedelta(hours=1)), 0)
    if not Path(last.folder).is_dir():
        return warn("backup", f"the last backup, {last.folder}, is not there any more", "qibai backup")
    if age > timedelta(hours=config.backup.max_age_h):
        return warn("backup", f"the last backup is {hours} hours old", "qibai backup; see backup.max_age_h")
    if not last.keys:
        return warn(
            "backup",
            f"the last backup is {hours} hours old, but no copy of the key file was made",
            "qibai backup --keys-to FOLDER",
        )
    return ok("backup", f"{hours} hours old: {last.folder}")
