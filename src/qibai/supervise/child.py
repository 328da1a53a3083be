"""One part's processes: never outliving the supervisor, and never leaving a group half dead.

Every part leads a process group of its own and carries a mark in its environment. The kernel ends the
leader when the supervisor dies, however that happens; what is left of a group is killed before the part
starts again.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_MARK: Final = "QIBAI_PART_OF"


async def spawn(
    command: Sequence[str], home: Path, env: dict[str, str], death_signal: signal.Signals
) -> asyncio.subprocess.Process:
    """Start a part. Its output comes in one pipe; ``death_signal`` reaches it when we die."""
    argv = list(command)
    if argv[0] == "setpriv":  # a change of user forgets the kernel's note, so it is made after that change
        argv.insert(1, f"--pdeathsig={death_signal.name.removeprefix('SIG')}")
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        env={**env, _MARK: str(home)},
        preexec_fn=_die_with(os.getpid(), death_signal),
        limit=1 << 20,
    )


async def ended(process: asyncio.subprocess.Process) -> None:
    """Return once the leader is gone. ``process.wait`` would wait for its children to close the pipe, too."""
    while process.returncode is None:  # noqa: ASYNC110  # asyncio tells of it in no other way
        await asyncio.sleep(0.05)  # asyncio tells of it in no other way


def _die_with(parent: int, death_signal: signal.Signals) -> Callable[[], None]:
    def run() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the kernel knew
            os._exit(1)

    return run


def kill_group(leader: int) -> None:
    """End what is left of a part whose leader is gone, and wait until it is."""
    for _ in range(500):
        try:
            os.killpg(leader, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return
        if not any(_alive_in(leader)):
            return
        time.sleep(0.01)


def end_leftovers(home: Path, timeout_s: float = 15.0) -> int:
    """End parts of a supervisor that was killed, gently and then by force; return how many there were."""
    found = set(_marked(home))
    asked = time.monotonic()
    while pids := list(_marked(home)):
        found.update(pids)
        waited = time.monotonic() - asked
        if waited > timeout_s:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if waited > timeout_s / 3 else signal.SIGTERM)
        time.sleep(0.1)
    return len(found)


def _alive_in(group: int) -> Iterator[int]:
    for pid in _pids():
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] not in "ZX":
                yield pid


def _marked(home: Path) -> Iterator[int]:
    mark = f"{_MARK}={home}".encode()
    for pid in _pids():
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                yield pid


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
