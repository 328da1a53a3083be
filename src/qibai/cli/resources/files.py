"""``qibai code import`` and ``qibai code export``."""

import contextlib
import csv
import hashlib
import json as jsonlib
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from qibai.cli.actor import actor_of
from qibai.cli.database import with_store
from qibai.cli.options import JsonOut, config_of
from qibai.cli.outfile import OutFile
from qibai.cli.output import as_json, done, err, note
from qibai.cli.resources.common import instant, read
from qibai.core.codefile import COLUMNS, IGNORED, BadLine, CodeLine, FileFormat, read_lines
from qibai.core.errors import BadRequest
from qibai.service import codes
from qibai.service import desk as desks
from qibai.service.desk import Desk
from qibai.store.anchors import Witness
from qibai.store.codes import CodeRow
from qibai.store.connection import Connection
from qibai.store.keys import Keyring
from qibai.store.resources import bulk
from qibai.store.resources.bulk import Terms

SHOWN: Final = 20  #: bad lines, unless all are asked for
Step = Callable[[str, int], None]
Form = Annotated[
    FileFormat | None, typer.Option("--format", help="csv or jsonl; else what the file's name says.")
]


def import_(  # noqa: PLR0917  # options
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The file.")],
    form: Form = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Take the good lines of a file with bad ones.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every line, write nothing.")] = False,
    json: JsonOut = False,
) -> None:
    """Import codes from CSV or JSON Lines: code, certificate, tenant, provinces; only the code must be there.

    All lines are checked first: with a bad one nothing is written, unless --skip-bad. Each 2,000 lines are
    one transaction; an import that was broken off goes on where it was when it is started again.
    Example: qibai code import codes.csv
    """
    source = _File(file, form or _format_of(file))
    quarantine = timedelta(days=config_of(ctx).pilot.code_quarantine_days)

    config, actor = config_of(ctx), actor_of(ctx)
    keyring = Keyring.load(config.key_file)
    witness = Witness.of(config, keyring, warn=note)

    async def work(conn: Connection) -> dict[str, Any]:
        await conn.set_autocommit(True)  # each batch is a transaction of its own
        terms = Terms(instant(None), quarantine)
        with _progress(json) as step:
            run = _Import(Desk(conn, actor, keyring, config), witness, source, terms, step)
            bad = await run.check()
            if not dry_run and (skip_bad or not bad):
                await run.write(bad)
        return {"lines": source.count, "bad": bad, "written": run.written, "earlier": run.earlier}

    began = time.monotonic()
    result = with_store(config, work)
    seconds = time.monotonic() - began
    bad: list[BadLine] = result["bad"]
    if json:
        as_json(
            result
            | {
                "seconds": round(seconds, 3),
                "bad": [{"line": one.number, "reason": one.reason} for one in bad],
            }
        )
    else:
        for one in bad[:SHOWN]:
            note(f"line {one.number}: {one.reason}")
        if len(bad) > SHOWN:
            note(f"… and {len(bad) - SHOWN} more; --json lists them all")
        earlier = f", {result['earlier']} were there from before" if result["earlier"] else ""
        took = f" in {seconds:.1f} s" if source.count > bulk.BATCH else ""
        done(f"{source.count} lines, {len(bad)} bad, {result['written']} written{earlier}{took}")
    if bad and not skip_bad:
        raise typer.Exit(1)


def export(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(dir_okay=False, help="The file; else the terminal.")] = None,
    form: Form = None,
) -> None:
    """Export all codes as CSV or JSON Lines, as `code import` takes them, and where they stand.

    Example: qibai code export codes.csv
    """
    how = form or (FileFormat.CSV if file is None else _format_of(file))
    place = None if file is None else OutFile(config_of(ctx), file, "file", mode=0o666)
    with contextlib.ExitStack() as stack:
        out = sys.stdout if place is None else stack.enter_context(place.open())
        write = _writer(out, how)

        async def work(conn: Connection) -> int:
            count = 0
            async for row in bulk.export(conn):
                write(row)
                count += 1
            return count

        count = read(ctx, work)
    if file is not None:
        done(f"{count} codes in {file}")


COMMANDS: Final[dict[str, Callable[..., None]]] = {"import": import_, "export": export}


class _File:
    """The file, read twice: to check it, and to write what it says."""

    def __init__(self, path: Path, form: FileFormat) -> None:
        self.path, self.form = path, form
        with path.open("rb") as file:
            self.digest = hashlib.file_digest(file, "sha256").digest()
        self.count = 0

    def batches(self) -> Iterator[list[CodeLine | BadLine]]:
        """Raise BadRequest when it is not UTF-8, or its header is wrong."""
        batch: list[CodeLine | BadLine] = []
        try:
            with self.path.open(encoding="utf-8", newline="") as text:
                for line in read_lines(text, self.form):
                    batch.append(line)
                    if len(batch) == bulk.BATCH:
                        yield batch
                        batch = []
        except UnicodeDecodeError:
            raise BadRequest("the file is not UTF-8", field="file") from None
        if batch:
            yield batch


class _Import:
    """One run over a file: first all of it is checked, then it is written batch by batch."""

    def __init__(  # what an import is made of
        self, desk: Desk, witness: Witness, source: _File, terms: Terms, step: Step
    ) -> None:
        self._desk, self._conn, self._witness, self._source = desk, desk.conn, witness, source
        self._terms, self._step = terms, step
        self.written = 0
        self.earlier = 0  #: lines that an import wrote which was broken off

    async def check(self) -> list[BadLine]:
        bad: list[BadLine] = []
        for batch in self._source.batches():
            good = [line for line in batch if isinstance(line, CodeLine)]
            bad += [line for line in batch if isinstance(line, BadLine)]
            bad += await bulk.check_lines(self._conn, good, self._terms)
            self._source.count += len(batch)
            self._step("checked", self._source.count)
        return sorted(bad, key=lambda one: one.number)

    async def write(self, bad: list[BadLine]) -> None:
        left_out = {one.number for one in bad}
        before = await bulk.lines_done(self._conn, self._source.digest)
        for batch in self._source.batches():
            good = [line for line in batch if isinstance(line, CodeLine) and line.number not in left_out]
            if batch[-1].number <= before:
                self.earlier += len(good)
                continue
            await self._write_batch(good, batch[-1].number)
            self.written += len(good)
            self._step("written", self.written + self.earlier)
        await bulk.finish(self._conn, self._source.digest)

    async def _write_batch(self, lines: list[CodeLine], last: int) -> None:
        name, digest = self._source.path.name, self._source.digest
        await desks.perform(
            self._desk, self._witness, lambda desk: codes.import_lines(desk, name, digest, lines, last)
        )


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Step]:
    if quiet or not err.is_terminal:
        yield lambda what, count: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def step(what: str, count: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(f"lines {what}", total=None)
            bar.update(tasks[what], completed=count)

        yield step


def _format_of(file: Path) -> FileFormat:
    return FileFormat.JSONL if file.suffix.lower() in (".jsonl", ".ndjson", ".json") else FileFormat.CSV


def _writer(out: TextIO, form: FileFormat) -> Callable[[CodeRow], None]:
    names = [*COLUMNS, *IGNORED]
    if form is FileFormat.JSONL:
        return lambda row: print(jsonlib.dumps(_row(row), ensure_ascii=False), file=out)
    table = csv.DictWriter(out, names, lineterminator="\n")
    table.writeheader()
    return lambda row: table.writerow(_row(row) | {"provinces": " ".join(row.provinces)})


def _row(row: CodeRow) -> dict[str, Any]:
    return {
        "code": str(row),
        "certificate": row.certificate,
        "tenant": row.tenant,
        "provinces": row.provinces,
        "state": row.state,
        "platform": row.platform,
        "set_aside": not row.enabled,
    }
