"""Whose bindings and calls a key reaches, and whether real numbers in them are shown whole."""

from dataclasses import dataclass
from typing import Annotated

from litestar.params import Parameter

from qibai.api.auth import Principal
from qibai.api.connections import Connections
from qibai.core.errors import BadRequest, Forbidden, TenantNotFound
from qibai.core.masking import mask_numbers
from qibai.core.numbering import Msisdn
from qibai.core.roles import sees_real_numbers
from qibai.store.resources.platforms import tenant_of

Whose = Annotated[
    str | None,
    Parameter(
        query="tenant",
        description="With a key that is no tenant's: whose; real numbers are masked then.",
        max_length=64,
        pattern=r"^[^\x00]+$",
    ),
]


All = Annotated[
    bool,
    Parameter(
        query="all",
        description="With a key that is no tenant's: of all tenants that the key reaches.",
    ),
]


@dataclass(frozen=True, slots=True)
class Reach:
    """One tenant; ``whole``: its real numbers are shown, as it gave them."""

    tenant_id: int
    whole: bool

    def shown(self, number: Msisdn) -> str:
        """A real number as this key may see it."""
        return number.e164 if self.whole else mask_numbers(number.e164)

    def shown_if(self, number: Msisdn | None) -> str | None:
        """The same, where there is one."""
        return None if number is None else self.shown(number)


async def reach(connections: Connections, who: Principal, tenant: str | None) -> Reach:
    """A tenant reaches itself; others the tenant that they name, an application platform those under it.

    Raise BadRequest, Forbidden, TenantNotFound.
    """
    whole = sees_real_numbers(who.role)
    if who.tenant is not None:
        if tenant is not None and who.actor.name != f"tenant:{tenant}":
            raise Forbidden("a tenant's key reaches only what is the tenant's own")
        return Reach(who.tenant, whole)
    if tenant is None:
        raise BadRequest("this key is no tenant's: name the tenant", field="tenant")
    async with connections.get() as conn:
        id, platform = await tenant_of(conn, tenant)
    if who.platform is not None and platform != who.platform:
        raise TenantNotFound
    return Reach(id, whole)


@dataclass(frozen=True, slots=True)
class Survey:
    """Whose calls are read: one tenant's, or those of all tenants that a key reaches."""

    tenant: Reach | None
    platform_id: int | None  #: an application platform's; None: the key reaches all
    strangers: bool  #: whether callers without a binding are shown, masked, and where they called from

    def shown_if(self, number: Msisdn | None) -> str | None:
        """A real number as this key may see it, where there is one."""
        if number is None:
            return None
        return mask_numbers(number.e164) if self.tenant is None else self.tenant.shown(number)


async def survey(connections: Connections, who: Principal, tenant: str | None, *, everyone: bool) -> Survey:
    """With ``everyone`` all that the key reaches, otherwise as ``reach``. Raise as ``reach``."""
    if everyone and who.tenant is None:
        if tenant is not None:
            raise BadRequest("name the tenant or ask for all, one of the two", field="tenant")
        return Survey(None, who.platform, who.role.of_person)
    return Survey(await reach(connections, who, tenant), None, who.role.of_person)
