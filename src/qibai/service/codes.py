"""The life of codes, from their assignment to their return."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from qibai.core.codefile import CodeLine
from qibai.core.errors import BadRequest, StepRefused
from qibai.core.numbering import Code, Province, ranges_of
from qibai.core.roles import Action
from qibai.service.desk import Desk, by_the_rules
from qibai.store import codes as stored
from qibai.store import resources, tenants
from qibai.store.codes import CodeRow, list_codes
from qibai.store.connection import Connection
from qibai.store.resources import bulk
from qibai.store.resources.session import changing

__all__ = [
    "CodeRow",
    "add",
    "assign",
    "close",
    "codes_of",
    "drain",
    "give",
    "import_lines",
    "list_codes",
    "open_",
    "restore",
    "resume",
    "return_",
    "set_aside",
]


async def codes_of(conn: Connection, tenant: str | None) -> list[CodeRow]:
    """A tenant's codes, or all. Raise TenantNotFound."""
    owner = None if tenant is None else (await tenants.find_tenant(conn, tenant)).id
    return await list_codes(conn, tenant_id=owner)


async def add(
    desk: Desk, codes: Sequence[Code], tenant: str, *, province: Province | None = None
) -> list[Code]:
    """Assign codes to a tenant; returns those that are new. Raise TenantNotFound, Conflict."""
    owner = await tenants.find_tenant(desk.conn, tenant)
    new = await stored.add_codes(desk.conn, list(codes), tenant_id=owner.id, province=province)
    await desk.enter(
        Action.CODE_ADD,
        f"tenant:{tenant}",
        codes=ranges_of(codes),
        added=len(new),
        province=None if province is None else province.code,
    )
    return new


async def import_lines(desk: Desk, file: str, digest: bytes, lines: Sequence[CodeLine], last: int) -> None:
    """Write lines of a file of codes, up to the line ``last``; ``digest`` tells the file from others.

    Raise StepRefused where a line cannot be taken any more; nothing of these lines is written then.
    """
    terms = bulk.Terms(datetime.now(UTC), timedelta(days=desk.config.pilot.code_quarantine_days))
    async with changing(desk.conn):
        for line in await bulk.check_lines(desk.conn, list(lines), terms):  # somebody else was quicker
            raise StepRefused(f"line {line.number}: {line.reason}; what stands before it was written")
        await bulk.write_lines(desk.conn, digest, list(lines), last)
    await desk.enter_change("import", "codes", file=file, to_line=last, codes=len(lines))


async def assign(desk: Desk, codes: Sequence[Code], certificate: str) -> int:
    """Enter codes under a certificate: new codes, and codes that were returned long enough ago.

    Returns how many, as all acts on codes do. Raise NotHere, StepRefused, BadRequest.
    """
    quarantine = timedelta(days=desk.config.pilot.code_quarantine_days)
    count = await resources.assign(
        desk.conn, list(codes), certificate, now=by_the_rules(), quarantine=quarantine
    )
    return await _entered(desk, "assign", codes, count, certificate=certificate)


async def open_(desk: Desk, codes: Sequence[Code], provinces: Sequence[Province]) -> int:
    """Note that the carrier has opened codes in these provinces, too. Raise StepRefused, BadRequest."""
    count = await resources.open_(desk.conn, list(codes), list(provinces))
    return await _entered(desk, "open", codes, count, provinces=_names(provinces))


async def close(desk: Desk, codes: Sequence[Code], provinces: Sequence[Province]) -> int:
    """Bind nothing new on codes in these provinces; what is bound goes on. Raise StepRefused, BadRequest."""
    count = await resources.close(desk.conn, list(codes), list(provinces))
    return await _entered(desk, "close", codes, count, provinces=_names(provinces))


async def give(desk: Desk, codes: Sequence[Code], tenant: str) -> int:
    """Let a tenant of the codes' own application platform bind their numbers.

    Raise TenantNotFound, SubLease, StepRefused.
    """
    count = await resources.give(desk.conn, list(codes), tenant, now=datetime.now(UTC))
    return await _entered(desk, "give", codes, count, tenant=tenant)


async def drain(desk: Desk, codes: Sequence[Code]) -> int:
    """Bind nothing new on codes that will be returned; what is bound is served. Raise StepRefused."""
    return await _entered(desk, "drain", codes, await resources.drain(desk.conn, list(codes)))


async def resume(desk: Desk, codes: Sequence[Code]) -> int:
    """Call a drain off. Raise StepRefused."""
    return await _entered(desk, "resume", codes, await resources.resume(desk.conn, list(codes)))


async def return_(desk: Desk, codes: Sequence[Code]) -> int:
    """Give drained codes back, once nothing is bound on them or in quarantine. Raise StepRefused."""
    count = await resources.return_(desk.conn, list(codes), now=datetime.now(UTC), at=by_the_rules())
    return await _entered(desk, "return", codes, count)


async def set_aside(desk: Desk, codes: Sequence[Code], why: str, *, carrier: int | None = None) -> int:
    """Bind nothing new on codes that fail, or on all of a carrier; live bindings are not touched.

    Raise BadRequest unless either codes or a carrier's digit are given, StepRefused.
    """
    chosen = await _chosen(desk, codes, carrier)
    count = len(await resources.set_aside(desk.conn, chosen, why))
    return await _entered(desk, "set aside", codes, count, why=why, carrier=carrier)


async def restore(desk: Desk, codes: Sequence[Code], *, carrier: int | None = None) -> int:
    """Undo ``set_aside``. Raise as it."""
    chosen = await _chosen(desk, codes, carrier)
    count = len(await resources.restore(desk.conn, chosen))
    return await _entered(desk, "restore", codes, count, carrier=carrier)


async def _chosen(desk: Desk, codes: Sequence[Code], carrier: int | None) -> list[Code]:
    if bool(codes) == (carrier is not None):
        raise BadRequest("give codes, or a carrier", field="codes")
    return list(codes) if carrier is None else await resources.choose(desk.conn, carrier=carrier)


async def _entered(desk: Desk, what: str, codes: Sequence[Code], count: int, **details: object) -> int:
    await desk.enter_change(what, "codes", codes=ranges_of(codes), **details)
    return count


def _names(provinces: Sequence[Province]) -> list[str]:
    return [province.code for province in provinces]
