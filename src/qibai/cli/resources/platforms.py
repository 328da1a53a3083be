"""``qibai platform …``: application-platform providers (应用平台提供方)."""

from typing import Annotated

import typer

from qibai.cli.desk import perform
from qibai.cli.options import JsonOut
from qibai.cli.output import as_json, done, table
from qibai.cli.resources.common import names_of, read
from qibai.cli.times import shown
from qibai.service import platforms
from qibai.service.platforms import Platform

app = typer.Typer(help="Application-platform providers.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The application platform's name.")]


@app.command()
def add(ctx: typer.Context, name: Name, json: JsonOut = False) -> None:
    """Add an application platform.

    Example: qibai platform add east
    """
    id = perform(ctx, lambda desk: platforms.add(desk, name))
    if json:
        as_json({"id": id, "name": name})
    else:
        done(f"application platform {name} added")


@app.command()
def place(
    ctx: typer.Context,
    name: Name,
    tenant: Annotated[str, typer.Argument(help="The tenant that goes under it.")],
    json: JsonOut = False,
) -> None:
    """Put a tenant under an application platform; with codes it cannot go to another.

    Example: qibai platform place east acme
    """
    perform(ctx, lambda desk: platforms.place(desk, tenant, name))
    if json:
        as_json({"tenant": tenant, "platform": name})
    else:
        done(f"tenant {tenant} is under {name}")


@app.command()
def remove(ctx: typer.Context, name: Name, json: JsonOut = False) -> None:
    """Remove an application platform that was added by mistake: one without codes, tenants and papers.

    Example: qibai platform remove east
    """
    perform(ctx, lambda desk: platforms.remove(desk, name))
    if json:
        as_json({"name": name, "removed": True})
    else:
        done(f"application platform {name} removed")


@app.command("list")
def list_(ctx: typer.Context, json: JsonOut = False) -> None:
    """List application platforms with their latest approval.

    Example: qibai platform list --json
    """
    found = read(ctx, platforms.list_platforms)
    if json:
        as_json(found)
        return
    table(
        ("platform", "applied", "approval", "from", "to", "state", "provinces", "codes", "tenants"),
        (
            (
                p.name,
                shown(p.applied_at),
                p.approval,
                p.first_day,
                p.last_day,
                _state(p),
                names_of(p.provinces),
                p.codes,
                ", ".join(p.tenants),
            )
            for p in found
        ),
    )


def _state(one: Platform) -> str | None:
    if one.revoked_at is not None:
        return f"revoked {shown(one.revoked_at)}"
    if one.exit_at is not None:
        return f"leaves {shown(one.exit_at)}"
    return "approved" if one.approval else None
