"""What a tenant has to bind old bindings on: codes by province, and what rules and quotas say."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from qibai.core.binding import Mode, Parties, Scene
from qibai.core.errors import QibaiError
from qibai.core.numbering import SERIALS_PER_CODE, Msisdn
from qibai.core.pilot import Rules
from qibai.store.bindings import BindItem, Entitlement
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.resources.quotas import list_quotas
from qibai.store.statements import load

_SQL: Final = load("migration_check")


@dataclass(frozen=True, slots=True)
class Room:
    """Of one province ('': all of them) in which bindings are wanted.

    A number serves several bindings as long as no party repeats on it: ``free`` numbers are room for more.
    """

    province: str
    wanted: int
    codes: int
    numbers: int
    free: int  #: nobody holds them, nor are they in quarantine
    refused: str | None  #: why nothing can be bound there now


async def rooms(
    conn: Connection, tenant_id: int, rules: Rules, wanted: dict[str, int], *, now: datetime
) -> list[Room]:
    """For each province in which bindings are wanted. Raise StoreUnavailable."""
    codes = await Entitlement(tenant_id, rules).codes(conn, now)
    found = []
    for province, count in sorted(wanted.items()):
        mine = codes.by_province.get(province, []) if province else codes.all
        with own_errors():
            rows = await (await conn.execute(_SQL["room"], {"codes": mine})).fetchall()
        held = sum(row[1] for row in rows)
        refusal = codes.refusal(_any(province or None, now))
        numbers = len(mine) * SERIALS_PER_CODE
        found.append(Room(province, count, len(mine), numbers, numbers - held, _why(refusal)))
    return found


async def quota_left(conn: Connection, tenant: str, *, now: datetime) -> int | None:
    """How many bindings the narrowest of the tenant's quotas has room for; None: it has none."""
    quotas = await list_quotas(conn, now=now, tenant=tenant)
    return min((max(0, one.most - one.used) for one in quotas), default=None)


def _any(province: str | None, now: datetime) -> BindItem:
    """A binding of anybody, to be asked about."""
    parties = Parties(Mode.AXB, Msisdn("+8613000000000"), (), Msisdn("+8613000000001"))
    return BindItem(
        parties=parties, scene=Scene.OTHER, order_id="?", expires_at=now, max_call_s=1, province=province
    )


def _why(error: QibaiError | None) -> str | None:
    return None if error is None else str(getattr(error, "rule", None) or error.code)
