"""``qibai code …``."""

from typing import Annotated

import typer

from qibai.cli.database import with_store
from qibai.cli.desk import perform
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done, table
from qibai.cli.resources import codes as life
from qibai.cli.resources import files
from qibai.cli.resources.common import names_of
from qibai.core.numbering import parse_codes, parse_province
from qibai.service import codes as service
from qibai.service.codes import CodeRow

app = typer.Typer(help="Codes (the first 11 digits of 700 numbers).", no_args_is_help=True)

for _name, _command in (life.COMMANDS | files.COMMANDS).items():
    app.command(_name)(_command)


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
    wanted = parse_codes(which)
    where = parse_province(province) if province else None
    new = perform(ctx, lambda desk: service.add(desk, wanted, tenant, province=where))
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
    found = with_store(config_of(ctx), lambda conn: service.codes_of(conn, tenant or None))
    if json:
        as_json([_row(row) for row in found])
        return
    table(
        ("code", "tenant", "state", "opened in", "platform", "certificate"),
        (
            (
                row,
                row.tenant,
                _state(row),
                _where(row),
                row.platform,
                row.certificate,
            )
            for row in found
        ),
    )


def _where(row: CodeRow) -> str | None:
    return names_of(row.provinces or ([row.province] if row.province else []))


def _state(row: CodeRow) -> str:
    return row.state.replace("_", " ") + ("" if row.enabled else ", set aside")


def _row(row: CodeRow) -> dict[str, object]:
    return {
        "code": str(row),
        "tenant": row.tenant,
        "province": row.province,
        "enabled": row.enabled,
        "state": row.state,
        "provinces": row.provinces,
        "platform": row.platform,
        "certificate": row.certificate,
    }
