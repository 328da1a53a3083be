"""A running part's configuration: what can be taken over while it runs is, once ``qibai reload`` says so.

``qibai reload`` writes the file ``run/reload``; a part that sees a new one reads the configuration again.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from qibai.config import Config, load
from qibai.core.errors import ConfigError
from qibai.files import replace_file
from qibai.settings.running import note_running, with_live

LOOK_S: Final = 0.5

_log = structlog.get_logger("config")
_Stamp = tuple[int, int]


def ask_reload(config: Config) -> None:
    """Have all parts read the configuration again. Raise OSError."""
    replace_file(_sign(config), b"")


def _sign(config: Config) -> Path:
    return config.run_dir / "reload"


class LiveConfig:
    """The configuration of one part."""

    def __init__(self, config: Config, part: str) -> None:
        self._path = _sign(config)
        self._part = part
        self._stamp = self._seen()
        self.config = config

    def look(self) -> bool:
        """Take over what changed, if a reload was asked for since. Returns True if it was taken over."""
        stamp = self._seen()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            wanted = load(self.config.home)
        except ConfigError as exc:
            _log.error("reload_refused", error=exc.message)
            return False
        self.config = with_live(self.config, self._part, wanted)
        return True

    def watch(self, changed: Callable[[Config], object]) -> None:
        """Look now and then from a thread that ends with the process, and call ``changed`` there."""
        threading.Thread(target=self._watch, args=(changed,), daemon=True, name="reload").start()

    def _watch(self, changed: Callable[[Config], object]) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_S):
            if self.look():
                changed(self.config)
                note_running(self.config, self._part)
                _log.info("reloaded", part=self._part)

    def _seen(self) -> _Stamp | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns
