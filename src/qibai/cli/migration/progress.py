"""Progress: a bar on a terminal, a line every few seconds elsewhere, nothing beside JSON."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from qibai.cli.output import err, note
from qibai.store.existing.run import Step

EVERY_S: Final = 5.0


@contextlib.contextmanager
def progress(*, quiet: bool) -> Iterator[Step]:
    """Tell it step by step."""
    if quiet:
        yield lambda what, count, total: None
        return
    if not err.is_terminal:
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def step(what: str, count: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=count, total=total)

        yield step


class _Lines:
    """Says where it is, now and then, and how fast it has been since it began to."""

    def __init__(self) -> None:
        self._what = ""
        self._said = self._began = time.monotonic()
        self._first = 0

    def __call__(self, what: str, count: int, total: int | None) -> None:
        now = time.monotonic()
        if what != self._what:
            self._what, self._said, self._began, self._first = what, now, now, count
        whole = count == total
        if now - self._said < EVERY_S and not whole:
            return
        self._said = now
        rate = (count - self._first) / max(now - self._began, 0.001)
        of = "" if total is None else f" of {total}"
        note(f"{what}: {count}{of}, {rate:.0f} bindings/s")
