"""Under which system user the embedded PostgreSQL runs.

It refuses root. Started by root (a container, a trial), it runs as ``qibai``, ``postgres`` or ``nobody``,
whichever exists first. Where that user cannot pass the folders on the way, such as ``/root``, it is lent the
one capability that lets it; folders keep their modes.
"""

import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qibai.core.errors import ConfigError

CANDIDATES: Final = ("qibai", "postgres", "nobody")
_CAP_DAC_OVERRIDE: Final = 1
_CAP_DAC_READ_SEARCH: Final = 2


@dataclass(frozen=True, slots=True)
class SystemUser:
    name: str
    uid: int
    gid: int


def choose() -> SystemUser | None:
    """The user to become; None: we are not root and stay who we are. Raise ConfigError when there is none."""
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return SystemUser(name, entry.pw_uid, entry.pw_gid)
    raise ConfigError("PostgreSQL cannot run as root; run: useradd --system qibai")


def prefix(user: SystemUser | None, paths: Sequence[Path]) -> list[str]:
    """The start of a command line that runs the rest as ``user``, able to reach ``paths``."""
    if user is None:
        return []
    args = ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"]
    if not all(reachable(path, user) for path in paths):
        capability = "dac_read_search" if _CAP_DAC_READ_SEARCH in _bounding() else "dac_override"
        args += [f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"]
    return args


def reachable(path: Path, user: SystemUser) -> bool:
    """Whether ``user`` may pass all folders on the way to ``path``."""
    return all(_passable(folder, user) for folder in path.parents)


def _passable(folder: Path, user: SystemUser) -> bool:
    info = folder.stat()
    if info.st_uid == user.uid:
        return bool(info.st_mode & 0o100)
    if info.st_gid == user.gid:
        return bool(info.st_mode & 0o010)
    return bool(info.st_mode & 0o001)


def _bounding() -> set[int]:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            bits = int(line.split()[1], 16)
            return {bit for bit in range(64) if bits >> bit & 1}
    return {_CAP_DAC_OVERRIDE}
