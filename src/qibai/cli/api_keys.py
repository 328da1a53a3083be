"""``qibai access …``: the API keys of operators, auditors and application platforms."""

from typing import Annotated

import typer

from qibai.cli.database import Connection, Record, act, with_store
from qibai.cli.identity import PersonKey, Why, twofold
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done, say, table
from qibai.cli.tenant import revoke as revoke_key
from qibai.cli.times import shown
from qibai.core.errors import BadRequest
from qibai.core.roles import Action, Role
from qibai.store import tenants
from qibai.store.actors import person_name
from qibai.store.dual import Permit, Wanted
from qibai.store.keys import Keyring
from qibai.store.resources.platforms import platform_id
from qibai.store.tenants import ApiKey, NewApiKey

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
    config = config_of(ctx)
    keyring = Keyring.load(config.key_file)

    async def platform(conn: Connection, record: Record) -> NewApiKey:
        id = await platform_id(conn, holder)
        key = await tenants.add_key(conn, keyring, kind=role, platform_id=id)
        await record(Action.KEY_ADD, f"key:{key.id}", role=role, platform=holder)
        return key

    async def person(conn: Connection, record: Record, permit: Permit) -> NewApiKey:
        key = await tenants.add_key(conn, keyring, kind=role, person=holder)
        name = person_name(holder)
        await record(Action.KEY_ADD, f"key:{key.id}", role=role, person=name, **permit.details)
        return key

    if role is Role.PLATFORM:
        key = act(ctx, platform)
    else:
        params = {"role": role, "person": person_name(holder)}
        key = twofold(ctx, api_key, Wanted(Action.KEY_ADD, params, why), person)
    if json:
        as_json({"key_id": key.id, "role": role, "holder": holder, "api_key": key.bearer})
    else:
        say("API key, shown only now: ", key.bearer)


@app.command("list")
def list_(ctx: typer.Context, json: JsonOut = False) -> None:
    """List all API keys, tenants' too, without secrets.

    Example: qibai access list
    """

    async def work(conn: Connection) -> list[ApiKey]:
        return await tenants.list_keys(conn)

    found = with_store(config_of(ctx), work)
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
    """Make an API key useless for good.

    Example: qibai access revoke h4k9xw2mqp7c
    """
    revoke_key(ctx, key_id)
    if json:
        as_json({"key_id": key_id, "revoked": True})
    else:
        done(f"key {key_id} revoked")
