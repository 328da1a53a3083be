"""``qibai audit …``: who did what, and whether the record of it is whole."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from qibai.cli.database import with_store
from qibai.cli.options import JsonOut, config_of
from qibai.cli.outfile import OutFile
from qibai.cli.output import as_json, done, table
from qibai.cli.times import shown
from qibai.config import Config
from qibai.core.errors import AuditBroken, BadRequest
from qibai.core.trail import START, Entry, Point, check
from qibai.service import trail
from qibai.store import anchors as anchor_file
from qibai.store import audit_verify, dsn, dual, tenants
from qibai.store.connection import SyncConnection
from qibai.store.failures import own_errors
from qibai.store.hosts import connect
from qibai.store.keys import Keyring

app = typer.Typer(help="The audit trail.", no_args_is_help=True)

_LINE = msgspec.json.Encoder()


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry as exported: digests in hexadecimal, all else as it went into the digest."""

    seq: int
    at_us: int
    actor: str
    role: str
    via: str
    action: str
    subject: str
    details: str
    prev: str
    hash: str


@app.command("list")
def list_(  # noqa: PLR0917  # options
    ctx: typer.Context,
    actor: Annotated[str | None, typer.Option(help="Only by this person, or tenant:NAME.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as key.add.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only on this, such as tenant:acme.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most records to list.")] = 50,
    json: JsonOut = False,
) -> None:
    """List entries, the latest first.

    Example: qibai audit list --action trace.reveal
    """
    found = with_store(
        config_of(ctx),
        lambda conn: trail.read(conn, actor=actor, action=action, subject=subject, limit=limit),
    ).entries
    if json:
        as_json([_plain(entry) for entry in found])
        return
    table(
        ("entry", "at", "who", "known by", "did", "to", "details"),
        ((e.seq, shown(_time(e)), e.actor, e.via, e.action, e.subject, e.details) for e in found),
    )


@app.command()
def verify(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Option("--file", help="An exported trail; without it the database's own.")
    ] = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option("--anchor", help="SEQ:HASH noted down before, again for each."),
    ] = None,
    json: JsonOut = False,
) -> None:
    """Check every entry from the first on; name the first that is bad, with exit status 1.

    Approvals and API keys that were written into the database by SQL are named as well: they have no effect.
    Example: qibai audit verify
    """
    config = config_of(ctx)
    known = [_point(text) for text in anchor or []]
    if file is not None:
        end = _verify_file(file, known)
    else:
        end = verify_store(config, known)
        known += anchor_file.read(anchor_file.path_of(config))
    if json:
        as_json({"entries": end.seq, "head": str(end), "anchors": len(known)})
    else:
        done(f"{end.seq} entries, none edited, removed or out of order; {len(known)} anchors fit; head {end}")


@app.command()
def export(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Where to; else standard output.")] = None,
) -> None:
    """Write all entries as JSON Lines, which `qibai audit verify --file` can check anywhere.

    Example: qibai audit export trail.jsonl
    """
    config = config_of(ctx)
    place = None if file is None else OutFile(config, file, "file", mode=0o666, fresh=True)
    with _connection(config) as conn:
        lines = (_LINE.encode(_line(entry)) + b"\n" for entry in audit_verify.entries(conn))
        if place is None:
            sys.stdout.buffer.writelines(lines)
            sys.stdout.buffer.flush()
            return
        with place.open() as out:
            out.writelines(line.decode() for line in lines)


def verify_store(config: Config, known: list[Point]) -> Point:
    with _connection(config) as conn:
        keyring = Keyring.load(config.key_file)
        end = audit_verify.verify(conn, keyring, known, anchor_file.Witness.of(config, keyring))
        written = [f"approval {id}" for id in dual.forged(conn, keyring)]
        written += [f"API key {key.id}" for key in tenants.not_genuine(conn, keyring)]
    if written:
        raise AuditBroken(end.seq, f"the trail is whole, but SQL and no person wrote {', '.join(written)}")
    return end


def _verify_file(path: Path, known: list[Point]) -> Point:
    last = Point(0, START)
    for entry in check(_read(path), sorted(known, key=lambda point: point.seq)):
        last = Point(entry.seq, entry.hash)
    return last


def _read(path: Path) -> Iterator[Entry]:
    decoder = msgspec.json.Decoder(Line)
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                try:
                    line = decoder.decode(text)
                    fields = msgspec.structs.asdict(line)
                    fields |= {"prev": bytes.fromhex(line.prev), "hash": bytes.fromhex(line.hash)}
                except (msgspec.MsgspecError, ValueError, RecursionError):
                    raise AuditBroken(number, f"line {number} of {path} is no entry") from None
                yield Entry(**fields)
    except OSError:
        raise BadRequest(f"{path} cannot be read", field="file") from None


def _line(entry: Entry) -> Line:
    fields = {name: getattr(entry, name) for name in Line.__struct_fields__}
    return Line(**fields | {"prev": entry.prev.hex(), "hash": entry.hash.hex()})


def _plain(entry: Entry) -> dict[str, Any]:
    return msgspec.structs.asdict(_line(entry)) | {"at": _time(entry)}


def _time(entry: Entry) -> datetime:
    return datetime.fromtimestamp(entry.at_us / 1_000_000, UTC)


def _point(text: str) -> Point:
    try:
        return Point.parse(text)
    except ValueError:
        raise BadRequest("give an anchor as SEQ:HASH", field="anchor") from None


def _connection(config: Config) -> SyncConnection:
    with own_errors():
        return connect(
            dsn(config), connect_timeout_s=config.store.connect_timeout_s, application_name="qibai-audit"
        )
