"""Taking a changed configuration over: at once what parts can take while they run; the rest is named."""

import subprocess
import time
from dataclasses import dataclass
from typing import Final

from qibai.config import Config
from qibai.core.errors import ConfigError, Unavailable
from qibai.settings.files import file_mistakes
from qibai.settings.live import ask_reload
from qibai.settings.mistakes import refuse
from qibai.settings.running import LIVE, differences, note_taken
from qibai.voice import engine

_WAIT_S: Final = 10.0
_RPC_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Keys by part."""

    taken: dict[str, list[str]]  #: that it runs with now
    restart: dict[str, list[str]]  #: that it takes over when it is started again


def reload(config: Config) -> Reloaded:
    """Have the parts take ``config`` over. Raise ConfigMistakes, and change nothing, when it has mistakes.

    Raise Unavailable when a part does not take a key over.
    """
    refuse(file_mistakes(config))
    before = differences(config)
    live = {part: [key for key in keys if key in LIVE.get(part, ())] for part, keys in before.items()}
    live = {part: keys for part, keys in live.items() if keys}
    try:
        if "kamailio" in live:
            engine.write_peers(config)
        ask_reload(config)
        if "kamailio" in live:
            _new_destinations(config)
            note_taken(config, "kamailio", live["kamailio"])
    except OSError as exc:
        raise Unavailable(f"{config.run_dir} cannot be written: {exc.strerror}") from None
    deadline = time.monotonic() + _WAIT_S
    while True:
        now = differences(config)
        late = [part for part in live if part != "kamailio" and set(live[part]) & set(now.get(part, ()))]
        if not late:
            break
        if time.monotonic() > deadline:
            raise Unavailable(f"{', '.join(late)} did not take it over within {_WAIT_S:.0f} s; see the log")
        time.sleep(0.1)
    restart = {part: [key for key in keys if key not in live.get(part, ())] for part, keys in before.items()}
    return Reloaded(live, {part: keys for part, keys in restart.items() if keys})


def _new_destinations(config: Config) -> None:
    try:
        command = [engine.program("kamcmd"), "-s", f"unix:{config.run_dir}/kamailio.ctl", "dispatcher.reload"]
        done = subprocess.run(command, capture_output=True, timeout=_RPC_S, check=False)
    except (OSError, subprocess.SubprocessError, ConfigError):
        raise Unavailable("Kamailio does not answer, and has the old peers") from None
    if done.returncode:
        raise Unavailable("Kamailio did not take the new peers over")
