"""How far a key reaches: whose bindings, calls and messages, and whether it sees real numbers whole."""

from dataclasses import dataclass

from qibai.core.errors import BadRequest, Forbidden, TenantNotFound
from qibai.core.masking import mask_numbers
from qibai.core.numbering import Msisdn
from qibai.core.roles import Role, sees_real_numbers
from qibai.service.lender import Lender
from qibai.store.actors import Actor
from qibai.store.connection import Connection
from qibai.store.resources.platforms import tenant_of


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever proved to hold an API key: what it makes of them, and how far they reach."""

    role: Role
    actor: Actor
    tenant: int | None  #: the one tenant that is seen
    platform: int | None  #: the one platform whose tenants are seen

    @property
    def tenant_id(self) -> int:
        """The tenant that asks. Raise Forbidden when it is no tenant."""
        if self.tenant is None:
            raise Forbidden
        return self.tenant


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


async def reach(lender: Lender, who: Principal, tenant: str | None) -> Reach:
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
    async with lender.get() as conn:
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


async def survey(lender: Lender, who: Principal, tenant: str | None, *, everyone: bool) -> Survey:
    """With ``everyone`` all that the key reaches, otherwise as ``reach``. Raise as ``reach``."""
    if everyone and who.tenant is None:
        if tenant is not None:
            raise BadRequest("name the tenant or ask for all, one of the two", field="tenant")
        return Survey(None, who.platform, who.role.of_person)
    return Survey(await reach(lender, who, tenant), None, who.role.of_person)


async def survey_here(conn: Connection, tenant: str | None) -> Survey:
    """What an operator at the machine reaches: the tenant named, or all. Raise TenantNotFound."""
    if tenant is None:
        return Survey(None, None, strangers=True)
    id, _ = await tenant_of(conn, tenant)
    return Survey(Reach(id, whole=False), None, strangers=True)
