"""Files that commands write: whether they can be written is known before any work, and they appear whole."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

from qibai.config import Config
from qibai.core.errors import BadRequest

PRIVATE: Final = 0o600  #: its owner alone can read it


class OutFile:
    """A file that a command will write, in the place of what is there; ``at`` is where, links followed."""

    def __init__(
        self, config: Config, path: Path, field: str, *others: Path, mode: int = PRIVATE, fresh: bool = False
    ) -> None:
        """Look at the place, which ``field`` names to the user; ``fresh``: nothing may be there yet.

        Raise BadRequest when it is one of ``others`` (what the command reads, or writes besides), the home's
        configuration or its key file, or when it cannot be written.
        """
        self.path, self._field, self._mode = path, field, mode
        try:
            self.at = path.resolve()
            for other in (*others, config.file, config.key_file):
                if self.at == other.resolve() or (other.exists() and path.exists() and other.samefile(path)):
                    raise self._refused(f"is {other}, which this command needs; name another file")
            if path.exists():
                self._look(fresh=fresh)
            os.close(self._draft())
            self._draft_path.unlink()
        except (OSError, RuntimeError) as exc:  # RuntimeError: links in a circle
            why = exc.strerror if isinstance(exc, OSError) else None
            raise self._refused(f"cannot be written: {why or 'its links go in a circle'}") from None

    @contextlib.contextmanager
    def open(self) -> Iterator[TextIO]:
        """UTF-8, line ends as they are given; the file is there once the block has ended well.

        Raise OSError.
        """
        try:
            with open(self._draft(), "w", encoding="utf-8", newline="") as out:  # noqa: PTH123  # a descriptor
                yield out
            self._draft_path.replace(self.at)
        except BaseException:
            self._draft_path.unlink(missing_ok=True)
            raise

    def _look(self, *, fresh: bool) -> None:
        if fresh:
            raise self._refused("exists already")
        if not self.path.is_file():
            raise self._refused("is not a file")
        if not os.access(self.path, os.W_OK):
            raise self._refused("cannot be written: Permission denied")

    def _draft(self) -> int:
        self._draft_path = self.at.with_name(f".qibai-{secrets.token_hex(8)}.new")
        return os.open(self._draft_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self._mode)

    def _refused(self, why: str) -> BadRequest:
        return BadRequest(f"{self.path} {why}", field=self._field)
