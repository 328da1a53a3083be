"""What a backup says of itself: ``manifest.json``, sealed under the platform's hash key.

The seal shows that the backup was made by a platform with these keys and was not changed since.
"""

import hashlib
import hmac
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from qibai.core.errors import BackupBroken, KeyFileError
from qibai.store import keyfile
from qibai.store.keys import Keyring

FORMAT: Final = 1
FILE: Final = "manifest.json"


class BackedUpFile(msgspec.Struct, frozen=True):
    """One file's size in bytes and its SHA-256 in hex."""

    size: int
    sha256: str


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True):
    """``made_at``: the database's clock when its snapshot was taken. ``rows``: how many rows tables had then.

    ``keys``: a fingerprint of each key that the data may need, by section and id. ``files``: all files of the
    backup by their path in it.
    """

    format: int = FORMAT
    qibai: str
    node: str
    made_at: datetime
    server_version: int
    migrations: list[str]
    rows: dict[str, int]
    keys: dict[str, str]
    files: dict[str, BackedUpFile]
    seal_key: int
    seal: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())


def sealed(manifest: BackupManifest, keyring: Keyring) -> BackupManifest:
    """The manifest with its seal."""
    return msgspec.structs.replace(manifest, seal=keyring.mac(manifest.seal_key, _content(manifest)).hex())


def encoded(manifest: BackupManifest) -> bytes:
    """The text of ``manifest.json``."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"


def files_of(folder: Path) -> dict[str, BackedUpFile]:
    """All files below ``folder`` but the manifest, by their path in it."""
    return {
        str(path.relative_to(folder)): BackedUpFile(path.stat().st_size, _sha256(path))
        for path in _walk(folder)
        if path != folder / FILE
    }


def fingerprints(key_file: Path) -> dict[str, str]:
    """A fingerprint of each key in the file; it says nothing of the key. Raise KeyFileError."""
    return {f"{name}:{id}": print_ for (name, id), print_ in keyfile.prints(key_file).items()}


def read(folder: Path) -> BackupManifest:
    """The manifest as it stands there, not checked. Raise BackupBroken."""
    try:
        manifest = msgspec.json.decode((folder / FILE).read_bytes(), type=BackupManifest)
    except (FileNotFoundError, NotADirectoryError):
        raise BackupBroken(f"{folder} is no backup: it has no {FILE}") from None
    except (OSError, msgspec.MsgspecError):
        raise BackupBroken(f"{folder / FILE} cannot be read or is damaged") from None
    if manifest.format != FORMAT:
        raise BackupBroken(f"{folder} has format {manifest.format}; this release reads format {FORMAT}")
    return manifest


def check_backup(folder: Path, key_file: Path) -> BackupManifest:
    """Read a backup whole and return its manifest, if all of it is sound.

    Raise BackupBroken when a file is missing, changed or not named in the manifest, or when the seal does not
    fit; KeyFileError when ``key_file`` lacks a key that the data need.
    """
    manifest = read(folder)
    have = fingerprints(key_file)
    lacking = sorted(key for key, print_ in manifest.keys.items() if have.get(key) != print_)
    if lacking:
        raise KeyFileError(
            f"{key_file} is not the key file of this backup: it lacks {', '.join(lacking)}; "
            "give the copy that was made with the backup (--keys)"
        )
    wanted = Keyring.load(key_file).mac(manifest.seal_key, _content(manifest)).hex()
    if not hmac.compare_digest(wanted, manifest.seal):
        raise BackupBroken(f"{folder / FILE} was changed: its seal does not fit")
    found = {str(path.relative_to(folder)) for path in _walk(folder)} - {FILE}
    for name in sorted(found - manifest.files.keys()):
        raise BackupBroken(f"{folder / name} does not belong to this backup; remove it")
    for name, file in sorted(manifest.files.items()):
        path = folder / name
        if name not in found:
            raise BackupBroken(f"{path} is missing")
        if path.is_symlink() or not path.is_file():
            raise BackupBroken(f"{path} is a link or no file; a backup holds its files itself")
        if path.stat().st_size != file.size or _sha256(path) != file.sha256:
            raise BackupBroken(f"{path} was changed or is damaged")
    return manifest


def _content(manifest: BackupManifest) -> bytes:
    return b"backup:" + msgspec.json.encode(msgspec.structs.replace(manifest, seal=""), order="sorted")


def _walk(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        for name in names:
            yield Path(root) / name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
