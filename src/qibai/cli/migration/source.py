"""The file of old bindings, the options that say how it is read, and what stands where it says nothing."""

import contextlib
import csv
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, TextIO

import typer

from qibai.cli.resources.common import instant, read
from qibai.config import Config
from qibai.core.binding import Scene
from qibai.core.codefile import FileFormat
from qibai.core.errors import BadRequest
from qibai.core.numbering import parse_province
from qibai.core.oldfile import BadOldLine, OrderFrom, RawRow, Reading, Shape, raw_rows, with_header
from qibai.store.existing.business import BusinessStatus, status
from qibai.store.existing.model import Terms

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The export: CSV or JSON Lines.")]
TenantName = Annotated[str, typer.Option("--tenant", help="Whose bindings they are.")]
From = Annotated[
    Shape | None, typer.Option("--from", help="Who wrote it; else as the first line's fields tell.")
]
Form = Annotated[
    FileFormat | None, typer.Option("--format", help="csv or jsonl; else what the file's name says.")
]
Orders = Annotated[
    OrderFrom,
    typer.Option(help="An order missing: take what the vendor was given (OutId, userData), or refuse it."),
]
Ttl = Annotated[int | None, typer.Option(min=1, help="Lifetime in seconds of bindings without an end.")]
Shorten = Annotated[
    bool, typer.Option("--shorten", help="Shorten lifetimes above the maximum to the maximum.")
]
SceneOf = Annotated[Scene, typer.Option("--scene", help="Scene of bindings that have none.")]
ProvinceOf = Annotated[str | None, typer.Option("--province", help="Province of bindings that have none.")]


_FIRST: Final = 100  #: rows that are looked at to tell whose export it is


class OldFile:
    """An export on disk; read once to check it, once to take it over."""

    def __init__(self, path: Path, form: FileFormat | None, shape: Shape | None, orders: OrderFrom) -> None:
        """Raise BadRequest when it is not UTF-8, or nobody's export."""
        self.path, self.name = path, path.name
        how = form or (FileFormat.CSV if path.suffix.lower() == ".csv" else FileFormat.JSONL)
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        self.digest = hashlib.sha256(content + f"{how} {shape} {orders}".encode()).digest()
        self.reading = Reading(how, orders, shape)
        with self._text() as text:
            self.reading = with_header(text, self.reading)
        first = list(islice(self.rows(), _FIRST))
        self.reading = self.reading.told_by(first)

    def rows(self) -> Iterator[RawRow]:
        """Raise BadRequest when it is not UTF-8."""
        with self._text() as text:
            yield from raw_rows(text, self.reading)

    @contextlib.contextmanager
    def _text(self) -> Iterator[TextIO]:
        try:
            with self.path.open(encoding="utf-8", newline="") as text:
                yield text
        except UnicodeDecodeError:
            raise BadRequest("the file is not UTF-8", field="file") from None


def terms_of(
    config: Config,
    *,
    ttl: int | None,
    shorten: bool,
    scene: Scene,
    province: str | None,
    old_only: bool = False,
) -> Terms:
    """What the configuration and the options say. Raise BadProvince."""
    binding = config.binding
    return Terms(
        rules=config.pilot.rules,
        quarantine=timedelta(seconds=binding.quarantine_s),
        longest=timedelta(seconds=binding.max_ttl_s),
        max_call_s=binding.default_max_call_s,
        most_call_s=binding.max_call_s,
        scene=scene,
        province=parse_province(province).code if province else None,
        ttl=None if ttl is None else timedelta(seconds=ttl),
        shorten=shorten,
        old_only=old_only,
    )


def tenant_of(ctx: typer.Context, name: str) -> BusinessStatus:
    """The tenant and where its move stands. Raise TenantNotFound."""
    return read(ctx, lambda conn: status(conn, name, now=instant(None)))


class RejectFile:
    """Bindings that were not taken, by line and place in it, code and reason, as CSV; no number is in it."""

    def __init__(self, out: TextIO) -> None:
        self._table = csv.writer(out, lineterminator="\n")
        self._table.writerow(("line", "binding", "code", "reason"))
        self.count = 0

    def add(self, one: BadOldLine) -> None:
        self._table.writerow((one.number, one.part, one.code, one.reason))
        self.count += 1
