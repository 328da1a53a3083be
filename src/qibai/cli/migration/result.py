"""``qibai migrate-bindings result``: the file that maps old numbers to new."""

import csv
import json as jsonlib
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from qibai.cli.migration.source import TenantName, tenant_of
from qibai.cli.options import JsonOut, config_of
from qibai.cli.outfile import OutFile
from qibai.cli.output import as_json, done
from qibai.cli.resources.common import read
from qibai.core.times import utc_text
from qibai.store.connection import Connection
from qibai.store.existing.results import Mapped, results
from qibai.store.keys import Keyring

_COLUMNS: Final = [field.name for field in fields(Mapped)]


def result(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Where to: .csv, or .jsonl.")],
    tenant: TenantName,
    json: JsonOut = False,
) -> None:
    """Write which 700 binding each old binding has become, as it is now, for the orders to be changed.

    Its owner alone can read the file: old middle numbers look like real ones, and may be some again.
    Example: qibai migrate-bindings result moved.csv --tenant acme
    """
    place = OutFile(config_of(ctx), file, "file")
    who = tenant_of(ctx, tenant)
    count = write_results(ctx, who.tenant_id, place)
    if json:
        as_json({"bindings": count, "file": file})
    else:
        done(f"{count} old bindings in {file}")


COMMANDS: Final[dict[str, Callable[..., None]]] = {"result": result}


def write_results(ctx: typer.Context, tenant_id: int, file: OutFile) -> int:
    """Write the whole file; returns how many bindings are in it."""
    keyring = Keyring.load(config_of(ctx).key_file)
    lines = file.path.suffix.lower() in (".jsonl", ".ndjson", ".json")
    with file.open() as out:
        table = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
        if not lines:
            table.writeheader()

        async def work(conn: Connection) -> int:
            count = 0
            async for one in results(conn, keyring, tenant_id):
                row = {name: _plain(value) for name, value in asdict(one).items()}
                if lines:
                    print(jsonlib.dumps(row, ensure_ascii=False), file=out)
                else:
                    table.writerow(row)
                count += 1
            return count

        return read(ctx, work)


def _plain(value: Any) -> Any:
    return utc_text(value) if isinstance(value, datetime) else value
