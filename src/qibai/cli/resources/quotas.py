"""``qibai quota …``."""

from typing import Annotated

import typer

from qibai.cli.desk import perform
from qibai.cli.options import JsonOut
from qibai.cli.output import as_json, done, table
from qibai.cli.resources.common import instant, names_of, read
from qibai.core.binding import Scene
from qibai.core.numbering import parse_province
from qibai.service import limits

app = typer.Typer(help="How many live bindings a tenant may have.", no_args_is_help=True)
Tenant = Annotated[str, typer.Argument(help="The tenant.")]
InScene = Annotated[Scene | None, typer.Option("--scene", help="Only in this scene; else in all together.")]
InProvince = Annotated[
    str | None, typer.Option("--province", help="Only in this province; else in all together.")
]


@app.command("set")
def set_(  # noqa: PLR0917  # options
    ctx: typer.Context,
    tenant: Tenant,
    most: Annotated[int, typer.Argument(help="How many.", min=0)],
    scene: InScene = None,
    province: InProvince = None,
    json: JsonOut = False,
) -> None:
    """Limit a tenant's live bindings. Those above the limit are left alone.

    Example: qibai quota set acme 100000 --scene food --province Guangdong
    """
    where = parse_province(province) if province else None
    live = perform(ctx, lambda desk: limits.set_quota(desk, tenant, most, scene=scene, province=where))
    if json:
        as_json({"tenant": tenant, "most": most, "used": live})
    else:
        done(f"{tenant} may have {most} live bindings here, and has {live}")


@app.command()
def drop(
    ctx: typer.Context,
    tenant: Tenant,
    scene: InScene = None,
    province: InProvince = None,
    json: JsonOut = False,
) -> None:
    """Lift a limit.

    Example: qibai quota drop acme --scene food
    """
    where = parse_province(province) if province else None
    perform(ctx, lambda desk: limits.drop_quota(desk, tenant, scene=scene, province=where))
    if json:
        as_json({"tenant": tenant})
    else:
        done(f"the limit of {tenant} is lifted")


@app.command("list")
def list_(
    ctx: typer.Context,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    json: JsonOut = False,
) -> None:
    """List limits and how much of them is used.

    Example: qibai quota list
    """
    found = read(ctx, lambda conn: limits.list_quotas(conn, now=instant(None), tenant=tenant))
    if json:
        as_json(found)
    else:
        rows = (
            (q.tenant, q.scene or "all", names_of([q.province]) if q.province else "all", q.most, q.used)
            for q in found
        )
        table(("tenant", "scene", "province", "most", "used"), rows)
