"""``qibai access …``: the API keys of operators, auditors and application platforms."""

from typing import Annotated

import typer

from qibai.cli.database import with_store
from qibai.cli.desk import perform
from qibai.cli.identity import PersonKey, Why
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done, say, table
from qibai.cli.times import shown
from qibai.core.errors import BadRequest
from qibai.core.roles import Role
from qibai.service import tenants as service

app = typer.Typer(
    help="API keys of operators, auditors and application platforms (a tenant's: `qibai tenant key`).",
    no_args_is_help=True,
)


@app.command()
def add(  # noqa: PLR0917  # options
    ctx: typer.Context,
    role: Annotated[Role, typer.Argument(help="operator, auditor or platform.")],
    holder: Annotated[str, typer.Argument(help="The person's name, or the application platform's.")],
    why: Why = "",
    api_key: PersonKey = None,
    json: JsonOut = False,
) -> None:
    """Make an API key; its secret is shown this once.

    Once there are two operators, a person's key takes two persons (`qibai dual`).
    Example: qibai access add operator "Li Na"
    """
    if role.of_tenant:
        raise BadRequest("a tenant's or network's key is made by `qibai tenant key add`", field="role")
    if role is Role.PLATFORM:
        key = perform(ctx, lambda desk: service.add_key_of_platform(desk, holder))
    else:
        key = perform(ctx, lambda desk: service.add_key_of_person(desk, holder, role, why), api_key)
    if json:
        as_json({"key_id": key.id, "role": role, "holder": holder, "api_key": key.bearer})
    else:
        say("API key, shown only now: ", key.bearer)


@app.command("list")
def list_(ctx: typer.Context, json: JsonOut = False) -> None:
    """List all API keys, tenants' too, without secrets.

    Example: qibai access list
    """
    found = with_store(config_of(ctx), service.list_keys)
    if json:
        as_json(
            [
                {
                    "key_id": k.id,
                    "role": k.kind,
                    "holder": k.holder,
                    "created_at": k.created_at,
                    "revoked_at": k.revoked_at,
                }
                for k in found
            ]
        )
        return
    table(
        ("key", "role", "holder", "since", "state"),
        (
            (
                k.id,
                k.kind,
                k.holder,
                shown(k.created_at),
                "revoked" if k.revoked_at else "active",
            )
            for k in found
        ),
    )


@app.command()
def revoke(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(help="The key's id, as `access list` shows it.")],
    json: JsonOut = False,
) -> None:
    """Revoke an API key permanently.

    Example: qibai access revoke h4k9xw2mqp7c
    """
    perform(ctx, lambda desk: service.revoke_key(desk, key_id))
    if json:
        as_json({"key_id": key_id, "revoked": True})
    else:
        done(f"key {key_id} revoked")
