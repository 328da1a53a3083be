"""``qibai up``, ``down`` and ``status``."""

import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from qibai.cli.address import api_url
from qibai.cli.options import JsonOut, State, config_of
from qibai.cli.output import as_json, done, note, out, table
from qibai.config import UNRULED, Config
from qibai.core.errors import ConfigError, QibaiError, Unavailable
from qibai.settings.mistakes import refuse
from qibai.settings.read import survey
from qibai.settings.running import advice, differences
from qibai.supervise import preflight, state, supervisor
from qibai.supervise.look import look
from qibai.supervise.parts import parts

_GAVE_UP: Final = re.compile(r"^error (\w+): (.)", re.MULTILINE)
START_TIMEOUT_S: Final = 120.0
STOP_TIMEOUT_S: Final = 120.0
_COLOURS: Final = {
    "postgres": "blue",
    "recorder": "magenta",
    "gateway": "bright_yellow",
    "api": "green",
    "rtpengine": "yellow",
    "kamailio": "cyan",
}


def up(
    ctx: typer.Context,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Start, wait until ready, return.")] = False,
    json: JsonOut = False,
) -> None:
    """Start everything, restart what dies, and stop it all cleanly on Ctrl-C or SIGTERM.

    Example: qibai up --detach
    """
    config = config_of(ctx)
    if detach:
        started = start(config)
        if config.pilot.rules.calendar is None:
            note(f"WARNING: {UNRULED}")
        if json:
            as_json({"running": True, "started": started, "parts": state.read(config)})
        else:
            done(f"the platform {'is up' if started else 'was up already'}; API {api_url(config)}")
        return

    def say(part: str, line: str) -> None:
        if json:
            as_json({"at": datetime.now(UTC), "part": part, "line": line})
            return
        text = Text(f"{part:<10}", style=_COLOURS.get(part, "bold")) if out.is_terminal else f"{part:<10}"
        out.print(text, Text.from_ansi(line), soft_wrap=True)

    supervisor.run(config, say)


def down(ctx: typer.Context, json: JsonOut = False) -> None:
    """Stop the platform that runs in this home, and wait until it is gone.

    Example: qibai down
    """
    config = config_of(ctx)
    stopped = stop(config)
    if json:
        as_json({"running": False, "stopped": stopped})
    else:
        done("the platform is stopped" if stopped else "the platform was not running")


def status(ctx: typer.Context, json: JsonOut = False) -> None:
    """Show the parts and their state; the exit status is 3 unless every part is ready.

    Under systemd each part is shown as well; systemd counts its restarts.

    Example: qibai status --json
    """
    given = ctx.find_object(State)
    config, mistakes = _survey(given.home if given else None)
    pid, found = state.supervisor_pid(config), look(config, ask=not mistakes)
    if mistakes:
        changed = {}
    elif pid is not None:
        changed = differences(config)
    else:
        changed = differences(config, [name for name, facts in found.items() if facts["pid"]])
    if json:
        said = {"running": bool(pid or found), "pid": pid, "parts": found, "changed": changed}
        as_json(said | {"mistakes": mistakes})
    elif pid is None and not found:
        note(f"nothing runs in {config.home}; start it with `qibai up`")
    else:
        table(
            ("part", "state", "pid", "restarts", "says"),
            ((name, p["state"], p["pid"], p["restarts"], p["says"]) for name, p in found.items()),
        )
    for part, keys in () if json else changed.items():
        mend = advice({part: keys})
        note(f"{part} runs with other values of {', '.join(keys)} than the configuration has: {mend}")
    for mistake in () if json else mistakes:
        note(f"the configuration has a mistake: {mistake}")
    if not all_ready(found):
        raise typer.Exit(3)


def _survey(home: Path | None) -> tuple[Config, list[str]]:
    """The configuration as far as it can be read, and what is wrong with it."""
    try:
        found = survey(home)
    except ConfigError as exc:
        root = Path(home or os.environ.get("QIBAI_HOME") or ".qibai").absolute()
        return Config(home=root), [exc.message]
    return found.config, [str(one) for one in found.mistakes]


def start(config: Config) -> bool:
    """Start the platform in the background and wait until it is ready; False: it was running.

    Raise Unavailable, with the last lines of the log, when it does not come up.
    """
    if state.supervisor_pid(config) is not None:
        _wait_ready(config, None)
        return False
    refuse(preflight.machine_mistakes(config))
    names = [part.name for part in parts(config)]
    for folder in (config.home, config.log_dir):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = config.log_dir / "qibai.log"
    with log.open("ab") as file:
        began = file.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "qibai", "--home", str(config.home), "up"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        _wait_ready(config, process)
    except QibaiError as exc:
        said = _last_error(log, began)
        if said is not None:
            raise said from None
        raise Unavailable(f"{exc.message} ({', '.join(names)}); {_tail(log, began)}") from None
    return True


def stop(config: Config) -> bool:
    """Stop the platform and wait until it is gone; False: it was not running."""
    pid = state.supervisor_pid(config)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while state.supervisor_pid(config) == pid or state.runs(pid):
        if time.monotonic() > deadline:
            raise Unavailable(f"the platform (process {pid}) does not stop; see {config.log_dir}")
        time.sleep(0.05)
    return True


def all_ready(found: dict[str, dict[str, Any]]) -> bool:
    """Every part is up."""
    return bool(found) and all(part["state"] == "ready" for part in found.values())


def _wait_ready(config: Config, process: "subprocess.Popen[bytes] | None") -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not all_ready(state.read(config)):
        if process is not None and process.poll() is not None:
            raise Unavailable("the platform ended while it was starting")
        if time.monotonic() > deadline:
            if process is not None:
                process.terminate()
                process.wait(STOP_TIMEOUT_S)
            raise Unavailable("the platform did not get ready in time")
        time.sleep(0.1)


class NotStarted(QibaiError):
    """The platform could not start; ``code`` and words are what it said."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]


def _last_error(log: Path, began: int) -> QibaiError | None:
    """What the supervisor said as it gave up; None when it did not give up."""
    with log.open("rb") as file:
        file.seek(began)
        text = file.read().decode(errors="replace")
    found = list(_GAVE_UP.finditer(text))
    return NotStarted(found[-1][1], text[found[-1].start(2) :].strip()) if found else None


def _tail(log: Path, began: int) -> str:
    with log.open("rb") as file:
        file.seek(began)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return f"the end of {log}:\n" + "\n".join(lines[-15:])
