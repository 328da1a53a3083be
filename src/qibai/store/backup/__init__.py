"""Backups: what a home and its database hold, in one folder that is checked before it is used."""

from qibai.store.backup.make import make_backup, prune
from qibai.store.backup.manifest import BackupManifest, check_backup
from qibai.store.backup.restore import Restored, drill, finish_interrupted, restore_backup
from qibai.store.backup.state import LastBackup, last_backup

__all__ = [
    "BackupManifest",
    "LastBackup",
    "Restored",
    "check_backup",
    "drill",
    "finish_interrupted",
    "last_backup",
    "make_backup",
    "prune",
    "restore_backup",
]
