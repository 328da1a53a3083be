"""``qibai code …``."""

from collections.abc import Iterator
from typing import Annotated

import typer

from qibai.cli.database import Connection, Record, act, with_store
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done, table
from qibai.core.errors import BadCode
from qibai.core.numbering import Code, parse_province
from qibai.core.roles import Action
from qibai.store import codes, tenants
from qibai.store.codes import CodeRow

app = typer.Typer(help="Codes (the first 11 digits of 700 numbers).", no_args_is_help=True)

MAX_RANGE = 100_000


@app.command()
def add(
    ctx: typer.Context,
    which: Annotated[list[str], typer.Argument(metavar="CODE…", help="Codes, or ranges FIRST-LAST.")],
    tenant: Annotated[str, typer.Option(envvar="QIBAI_TENANT", help="Whose codes they become.")],
    province: Annotated[
        str | None, typer.Option(envvar="QIBAI_PROVINCE", help="Where they may be used: name or code.")
    ] = None,
    json: JsonOut = False,
) -> None:
    """Assign codes to a tenant.

    Example: qibai code add 70010000001 70010000010-70010000019 --tenant acme --province Guangdong
    """
    wanted = [code for text in which for code in _codes(text)]
    where = parse_province(province) if province else None

    async def work(conn: Connection, record: Record) -> list[Code]:
        owner = await tenants.find_tenant(conn, tenant)
        new = await codes.add_codes(conn, wanted, tenant_id=owner.id, province=where)
        await record(
            Action.CODE_ADD,
            f"tenant:{tenant}",
            codes=which,
            added=len(new),
            province=where.code if where else None,
        )
        return new

    new = act(ctx, work)
    if json:
        as_json({"added": [str(code) for code in new], "known": len(set(wanted)) - len(new)})
    else:
        done(f"{len(new)} codes added for {tenant}, {len(set(wanted)) - len(new)} were there already")


@app.command("list")
def list_(
    ctx: typer.Context,
    tenant: Annotated[str | None, typer.Option(envvar="QIBAI_TENANT", help="Only this tenant's.")] = None,
    json: JsonOut = False,
) -> None:
    """List codes.

    Example: qibai code list --tenant acme
    """

    async def work(conn: Connection) -> list[CodeRow]:
        owner = (await tenants.find_tenant(conn, tenant)).id if tenant else None
        return await codes.list_codes(conn, tenant_id=owner)

    found = with_store(config_of(ctx), work)
    if json:
        as_json(
            [
                {"code": str(row), "tenant": row.tenant, "province": row.province, "enabled": row.enabled}
                for row in found
            ]
        )
    else:
        table(
            ("code", "tenant", "province", "state"),
            ((row, row.tenant, row.province, "open" if row.enabled else "closed") for row in found),
        )


def _codes(text: str) -> Iterator[Code]:
    first, dash, last = text.partition("-")
    begin = Code.parse(first)
    end = Code.parse(last) if dash else begin
    if not begin.value <= end.value < begin.value + MAX_RANGE:
        raise BadCode(f"a range goes upwards and holds at most {MAX_RANGE} codes")
    return (Code(value) for value in range(begin.value, end.value + 1))
