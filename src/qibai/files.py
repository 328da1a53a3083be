"""Files that others read while we write them: each is replaced as a whole."""

import os
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600


def replace_file(
    path: Path, data: bytes, *, mode: int = PRIVATE, durable: bool = False, owner_of: Path | None = None
) -> None:
    """Have ``path`` hold ``data`` alone: whoever reads it meanwhile sees the old content or the new, whole.

    ``durable``: it is on the disk when this returns. ``owner_of``: if root writes, the file gets the owner of
    that file or folder. Raise OSError; the old content stays then.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")  # a killed process leaves one, not many
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            if owner_of is not None and os.geteuid() == 0:
                owner = owner_of.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            if durable:
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have what was made, renamed and removed in a folder on the disk. Raise OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
