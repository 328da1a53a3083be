"""The life of codes: assigned under a certificate, opened, given to a tenant, drained, returned.

Each function takes any number of codes and changes all of them or none.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from qibai.core.errors import NotHere, StepRefused, SubLease
from qibai.core.masking import mask_text
from qibai.core.numbering import Code, Province
from qibai.core.pilot import CodeEvent, CodeState, after_code
from qibai.core.times import utc_text
from qibai.store.connection import Connection
from qibai.store.resources.platforms import tenant_of
from qibai.store.resources.session import SQL, changing, row, rows, run


@dataclass(frozen=True, slots=True)
class _Held:
    """A code as it is locked for a change."""

    code: int
    state: str
    tenant_id: int | None
    platform_id: int | None
    returned_at: datetime | None


async def assign(
    conn: Connection, codes: Iterable[Code], certificate: str, *, now: datetime, quarantine: timedelta
) -> int:
    """Enter codes under a certificate: new, or of no platform so far, or returned ``quarantine`` ago.

    Returns how many. Raise NotHere, SubLease (another platform's), StepRefused (in quarantine still).
    """
    values = _values(codes)
    async with changing(conn):
        paper = await row(conn, "find_certificate", number=certificate)
        if paper is None:
            raise NotHere("there is no certificate of this number", field="certificate")
        for held in await rows(conn, _Held, "lock_codes", codes=values):
            if held.state == CodeState.RETURNED and held.returned_at is not None:
                if now < held.returned_at + quarantine:
                    free = utc_text(held.returned_at + quarantine)
                    raise StepRefused(f"{Code(held.code)} was returned; it may be used again from {free}")
            elif held.platform_id not in (None, paper[1]):
                raise SubLease(
                    f"{Code(held.code)} is another application platform's; it has to be returned first"
                )
        await run(conn, "certify", codes=values, platform=paper[1], certificate=paper[0])
    return len(values)


async def open_(conn: Connection, codes: Iterable[Code], provinces: Sequence[Province]) -> int:
    """The carrier has opened the codes in these provinces too. Raise NotHere, StepRefused."""

    def after(held: _Held) -> CodeState | None:
        state: CodeState | None = CodeState(held.state)
        if state is CodeState.ASSIGNED:
            state = after_code(state, CodeEvent.OPEN, occupied=False)
        if state is CodeState.OPENED and held.tenant_id is not None:
            state = after_code(state, CodeEvent.USE, occupied=False)
        return state if state in (CodeState.OPENED, CodeState.IN_USE) else None

    async with changing(conn):
        values = await _step(conn, codes, after, "be opened")
        await run(conn, "open_provinces", codes=values, provinces=[p.code for p in provinces])
    return len(values)


async def close(conn: Connection, codes: Iterable[Code], provinces: Sequence[Province]) -> int:
    """The codes may be bound in these provinces no more; what is bound goes on. Raise NotHere."""
    async with changing(conn):
        values = [held.code for held in await _locked(conn, codes)]
        await run(conn, "close_provinces", codes=values, provinces=[p.code for p in provinces])
    return len(values)


async def give(conn: Connection, codes: Iterable[Code], tenant: str, *, now: datetime) -> int:
    """Let a tenant of the codes' application platform bind their numbers.

    A code goes from one tenant to another only while none of its numbers is bound or in quarantine. Raise
    SubLease, TenantNotFound, NotHere, StepRefused.
    """
    async with changing(conn):
        owner, platform = await tenant_of(conn, tenant)
        held = await _locked(conn, codes)
        for one in held:
            if one.state in (CodeState.DRAINING, CodeState.RETURNED):
                raise StepRefused(f"{Code(one.code)} is {one.state}")
            if one.platform_id is not None and one.platform_id != platform:
                raise SubLease(f"{Code(one.code)} and the tenant are of different application platforms")
        moved = [one.code for one in held if one.tenant_id not in (None, owner)]
        await _not_occupied(conn, moved, now)
        await run(conn, "give_codes", codes=[one.code for one in held], tenant=owner, platform=platform)
    return len(held)


async def drain(conn: Connection, codes: Iterable[Code]) -> int:
    """Bind nothing new on the codes; what is bound is served to its end. Raise NotHere, StepRefused."""
    async with changing(conn):
        return len(await _step(conn, codes, _event(CodeEvent.DRAIN), "be drained"))


async def resume(conn: Connection, codes: Iterable[Code]) -> int:
    """Call a drain off. Raise NotHere, StepRefused."""
    async with changing(conn):
        return len(await _step(conn, codes, _event(CodeEvent.RESUME), "be taken into use again"))


async def return_(
    conn: Connection, codes: Iterable[Code], *, now: datetime, at: datetime | None = None
) -> int:
    """Give codes back: only once nothing is bound on them and every quarantine is over.

    ``at``: the time of the return for ``assign``, else ``now``. Raise NotHere, StepRefused.
    """
    async with changing(conn):
        held = await _locked(conn, codes)
        await _not_occupied(conn, [one.code for one in held], now)
        values = await _step(conn, codes, _event(CodeEvent.RETURN), "be returned")
        await run(conn, "return_codes", codes=values, at=at or now)
    return len(values)


async def set_aside(conn: Connection, codes: Iterable[Code], why: str) -> list[Code]:
    """Bind nothing new on codes that fail somewhere; live bindings are not touched. Returns those found."""
    async with changing(conn):
        return await _touched(conn, "set_aside", codes=_values(codes), why=mask_text(why))


async def restore(conn: Connection, codes: Iterable[Code]) -> list[Code]:
    """Undo ``set_aside``. Returns the codes that were found."""
    async with changing(conn):
        return await _touched(conn, "take_back", codes=_values(codes))


async def choose(
    conn: Connection, *, carrier: int | None = None, certificate: str | None = None, tenant: str | None = None
) -> list[Code]:
    """Codes by carrier, certificate, tenant, or what of these is given."""
    cur = await conn.execute(
        SQL["choose_codes"], {"carrier": carrier, "certificate": certificate, "tenant": tenant}
    )
    return [Code(value) for (value,) in await cur.fetchall()]


def _event(event: CodeEvent) -> Callable[[_Held], CodeState | None]:
    return lambda held: after_code(CodeState(held.state), event, occupied=False)


async def _step(
    conn: Connection, codes: Iterable[Code], after: Callable[[_Held], CodeState | None], what: str
) -> list[int]:
    """Bring codes into the states that follow; all of them or, with StepRefused, none."""
    held = await _locked(conn, codes)
    following: dict[CodeState, list[int]] = {}
    for one in held:
        state = after(one)
        if state is None:
            raise StepRefused(f"{Code(one.code)} is {one.state} and cannot {what}")
        following.setdefault(state, []).append(one.code)
    for state, values in following.items():
        await run(conn, "set_state", codes=values, state=state.value)
    return [one.code for one in held]


async def _locked(conn: Connection, codes: Iterable[Code]) -> list[_Held]:
    values = _values(codes)
    held = await rows(conn, _Held, "lock_codes", codes=values)
    if len(held) < len(values):
        missing = min(set(values) - {one.code for one in held})
        raise NotHere(f"{Code(missing)} is not a code of this platform", field="codes")
    return held


async def _not_occupied(conn: Connection, codes: Sequence[int], now: datetime) -> None:
    found = await row(conn, "occupied", codes=codes, now=now) if codes else None
    if found is not None:
        raise StepRefused(f"numbers of {Code(found[0])} are bound or in quarantine still")


async def _touched(conn: Connection, name: str, **params: object) -> list[Code]:
    cur = await conn.execute(SQL[name], params)
    return [Code(value) for (value,) in sorted(await cur.fetchall())]


def _values(codes: Iterable[Code]) -> list[int]:
    return sorted({code.value for code in codes})
