"""The key file: JSON of mode 600, made and replaced atomically, refused when others can read it."""

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from qibai.config import Config
from qibai.core.errors import KeyFileError
from qibai.files import replace_file, sync_folder
from qibai.store.crypto import HASH_KEY_BYTES, TOKEN_KEY_BYTES, VALUE_KEY_BYTES

MAX_KEY_ID: Final = 0xFFFF

Stamp = tuple[int, int, int]


class Section(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Keys by id (JSON: base64); ``next`` is the key that a running rotation moves to."""

    current: int
    keys: dict[str, bytes]
    next: int | None = None

    @property
    def newest_used(self) -> int:
        """The id of the last key that is more than prepared."""
        return max(self.current, self.next or 0)

    @property
    def used(self) -> dict[str, bytes]:
        """All keys but those that were only prepared."""
        return {id: key for id, key in self.keys.items() if int(id) <= self.newest_used}


class KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    """All that the file holds."""

    value: Section
    hash: Section
    token: Section

    def is_in(self, other: "KeyFile") -> bool:
        """Whether ``other`` has each key of this file that may be in use, under the same id.

        Nothing was sealed yet with a key that was only prepared.
        """
        pairs = ((self.value, other.value), (self.hash, other.hash), (self.token, other.token))
        return all(own.used.items() <= others.keys.items() for own, others in pairs)


_SIZES: Final = {"value": VALUE_KEY_BYTES, "hash": HASH_KEY_BYTES, "token": TOKEN_KEY_BYTES}
_FINGERPRINT: Final = b"qibai: which key is this?"
_DECODER: Final = msgspec.json.Decoder(KeyFile)


def check_there(config: Config) -> None:
    """A database has a key file of its own, which has to come back; a new one cannot open it.

    Raise KeyFileError when this home has an embedded database and no key file.
    """
    if not config.store.dsn and config.pg_dir.exists() and not config.key_file.exists():
        raise KeyFileError(f"{config.key_file} is not there, but its database is; restore the file's backup")


def stamp(path: Path) -> Stamp:
    """Tells one content of the file from the next; every write makes a new inode. Raise KeyFileError."""
    try:
        found = path.stat()
    except OSError:
        raise KeyFileError(f"{path} is missing or cannot be reached") from None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read(path: Path) -> tuple[KeyFile, Stamp]:
    """The file and its stamp. Raise KeyFileError, saying what is wrong and what to do."""
    try:
        with path.open("rb") as file:
            info = os.fstat(file.fileno())
            if stat.S_IMODE(info.st_mode) & 0o077:
                raise KeyFileError(f"{path} is open to other users; run: chmod 600 {path}")
            data = file.read()
    except FileNotFoundError:
        says = (
            "restore it from its backup (qibai restore: --keys FILE); only for a new platform run qibai init"
        )
        raise KeyFileError(f"{path} is missing; {says}") from None
    except OSError:
        raise KeyFileError(f"{path} cannot be read by this user") from None
    try:
        content = _DECODER.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise KeyFileError(f"{path} is not a key file; restore it from its backup") from None
    _check(path, content)
    return content, (info.st_ino, info.st_mtime_ns, info.st_size)


def prints(path: Path) -> dict[tuple[str, int], str]:
    """A fingerprint of each key, by section and id; it says nothing of the key. Raise KeyFileError."""
    content, _ = read(path)
    return {
        (name, int(id)): hmac.new(key, _FINGERPRINT, hashlib.sha256).hexdigest()[:16]
        for name in _SIZES
        for id, key in getattr(content, name).keys.items()
    }


def create(path: Path) -> None:
    """Make a key file with new random keys; one that is there already, or appears meanwhile, stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = KeyFile(
        **{name: Section(current=1, keys={"1": secrets.token_bytes(size)}) for name, size in _SIZES.items()}
    )
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    replace_file(draft, _encoded(content), durable=True)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # unlike a rename, never replaces
    finally:
        draft.unlink()
    sync_folder(path.parent)


def update(path: Path, change: Callable[[KeyFile], None]) -> KeyFile:
    """Change the file under a lock and replace it in one step; returns what it now holds.

    Where ``path`` is a link, the file behind it is changed: machines may share that.
    """
    path = path.resolve()
    with _lock(path):
        content, _ = read(path)
        change(content)
        _check(path, content)
        replace_file(path, _encoded(content), durable=True, owner_of=path)
    return content


def next_key(section: Section, size: int) -> int:
    """The id of the section's prepared key; where there is none, a new random key is added.

    Which key is current does not change.
    """
    newest = max(map(int, section.keys))
    if newest > section.newest_used:
        return newest
    id = newest + 1
    if id > MAX_KEY_ID:
        raise KeyFileError(f"there are no key ids left above {MAX_KEY_ID}")
    section.keys[str(id)] = secrets.token_bytes(size)
    return id


def next_id(path: Path, section: str) -> int:
    """The number of the key that the next rotation of that section uses. Raise KeyFileError."""
    content, _ = read(path)
    known: Section = getattr(content, section)
    newest = max(map(int, known.keys))
    return newest if newest > known.newest_used else newest + 1


def prepare(path: Path) -> dict[str, int]:
    """Have in each section a key that nothing uses yet, and return their ids; the next rotations use them."""
    ids: dict[str, int] = {}

    def change(content: KeyFile) -> None:
        for name, size in _SIZES.items():
            ids[name] = next_key(getattr(content, name), size)

    update(path, change)
    return ids


def _check(path: Path, content: KeyFile) -> None:
    for name, size in _SIZES.items():
        section: Section = getattr(content, name)
        wanted = {section.current} | ({section.next} if section.next is not None else set())
        sound = (
            all(id.isascii() and id.isdigit() and 0 < int(id) <= MAX_KEY_ID for id in section.keys)
            and all(len(key) == size for key in section.keys.values())
            and wanted <= {int(id) for id in section.keys}
        )
        if not sound:
            raise KeyFileError(f"{path}: the section {name} is damaged; restore the file from its backup")


def _encoded(content: KeyFile) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    fd = os.open(path.with_name(f".{path.name}.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
