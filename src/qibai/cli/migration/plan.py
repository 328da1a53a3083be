"""``qibai migrate-bindings plan``: what executing would do; nothing is written."""

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from qibai.cli.language import local
from qibai.cli.migration.progress import progress
from qibai.cli.migration.source import (
    File,
    Form,
    From,
    OldFile,
    Orders,
    ProvinceOf,
    RejectFile,
    SceneOf,
    Shorten,
    TenantName,
    Ttl,
    tenant_of,
    terms_of,
)
from qibai.cli.options import JsonOut, config_of
from qibai.cli.outfile import OutFile
from qibai.cli.output import as_json, note, say, table
from qibai.cli.resources.common import instant, names_of, read
from qibai.core.binding import Scene
from qibai.core.oldfile import BadOldLine, OrderFrom
from qibai.store.connection import Connection
from qibai.store.existing.business import BusinessStatus
from qibai.store.existing.check import Checked
from qibai.store.existing.model import Terms
from qibai.store.existing.room import Room, quota_left, rooms
from qibai.store.existing.run import Step, check
from qibai.store.keys import Keyring

SHOWN: Final = 20  #: bad lines


@dataclass(slots=True)
class _Plan:
    found: Checked
    rooms: list[Room]
    quota_left: int | None
    shown: list[BadOldLine] = field(default_factory=list)
    bad: int = 0

    @property
    def in_the_way(self) -> list[str]:
        """What executing would stop at."""
        said = [f"{_place(room.province)}: {room.refused}" for room in self.rooms if room.refused]
        wanted = sum(room.wanted for room in self.rooms)
        if self.quota_left is not None and self.quota_left < wanted:
            said.append(f"a quota has room for {self.quota_left} bindings, {wanted} are wanted")
        return said


def plan(  # noqa: PLR0917  # options
    ctx: typer.Context,
    file: File,
    tenant: TenantName,
    shape: From = None,
    form: Form = None,
    orders: Orders = OrderFrom.OUT_ID,
    ttl: Ttl = None,
    shorten: Shorten = False,
    scene: SceneOf = Scene.OTHER,
    province: ProvinceOf = None,
    rejects: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write what would not be taken there, by line.")
    ] = None,
    json: JsonOut = False,
) -> None:
    """Check every line of an export, and what there is to bind on; nothing is written to the store.

    Says how many bindings would be moved, which lines would not be taken and why, and where numbers are free.
    Example: qibai migrate-bindings plan old.jsonl --tenant acme --from aliyun
    """
    config = config_of(ctx)
    place = OutFile(config, rejects, "rejects", file) if rejects is not None else None
    source = OldFile(file, form, shape, orders)
    terms = terms_of(config, ttl=ttl, shorten=shorten, scene=scene, province=province)
    who = tenant_of(ctx, tenant)
    keyring = Keyring.load(config.key_file)
    with contextlib.ExitStack() as stack:
        out = RejectFile(stack.enter_context(place.open())) if place is not None else None
        step = stack.enter_context(progress(quiet=json))
        made = read(ctx, lambda conn: _make(conn, keyring, source, terms, who, out, step))
    if json:
        as_json(_as_json(made, who))
    else:
        _show(made, who)
    if made.bad or made.in_the_way:
        raise typer.Exit(1)


COMMANDS: Final[dict[str, Callable[..., None]]] = {"plan": plan}


async def _make(  # noqa: PLR0917  # what a plan is made of
    conn: Connection,
    keyring: Keyring,
    source: OldFile,
    terms: Terms,
    who: BusinessStatus,
    out: RejectFile | None,
    step: Step,
) -> _Plan:
    await conn.set_autocommit(True)
    made = _Plan(Checked(), [], None)
    async for found, rejects in check(conn, keyring, source, terms, step):
        made.found = found
        made.bad += len(rejects)
        made.shown += rejects[: max(0, SHOWN - len(made.shown))]
        if out is not None:
            for one in rejects:
                out.add(one)
    now = instant(None)
    made.rooms = await rooms(conn, who.tenant_id, terms.rules, made.found.provinces, now=now)
    made.quota_left = await quota_left(conn, who.tenant, now=now)
    return made


def _as_json(made: _Plan, who: BusinessStatus) -> dict[str, Any]:
    bad = [
        {"line": one.number, "binding": one.part, "code": one.code, "reason": one.reason}
        for one in made.shown
    ]
    return asdict(made.found) | {
        "rooms": [asdict(room) for room in made.rooms],
        "quota_left": made.quota_left,
        "rejected": made.bad,
        "first_rejected": bad,
        "in_the_way": made.in_the_way,
        "cut_over_at": who.cut_over_at,
    }


def _show(made: _Plan, who: BusinessStatus) -> None:
    found = made.found
    modes = ", ".join(f"{count} {mode}" for mode, count in sorted(found.modes.items())) or "none"
    say(f"{found.bindings} bindings: {found.good} can be taken over, {made.bad} cannot; read: {modes}")
    say(f"{found.numbers} old numbers, {found.reused} of them in several bindings")
    if found.without_b:
        say(f"{found.without_b} have no B: they serve under their old number alone")
    table(
        ("province", "wanted", "codes", "numbers", "free", "in the way"),
        (
            (_place(one.province), one.wanted, one.codes, one.numbers, one.free, one.refused)
            for one in made.rooms
        ),
    )
    for reason, count in sorted(found.bad.items()):
        say(f"{count} × {local(reason)}")
    for one in sorted(made.shown, key=lambda one: one.number):
        note(f"line {one.number}, binding {one.part}: {one.reason}")
    if made.bad > len(made.shown):
        note(f"… and {made.bad - len(made.shown)} more; --rejects FILE has them all")
    for said in made.in_the_way:
        note(f"in the way: {said}")
    if who.cut_over_at is not None:
        note("this tenant has cut over: its old numbers are refused")


def _place(province: str) -> str:
    return names_of([province]) if province else "any"
