"""``qibai tenant …``."""

from typing import Annotated

import typer

from qibai.cli.database import with_store
from qibai.cli.desk import perform
from qibai.cli.identity import PersonKey, Why
from qibai.cli.message_policy import messages
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done, say, table
from qibai.cli.times import shown
from qibai.core.roles import Role
from qibai.service import tenants as service
from qibai.service.tenants import ApiKey, KeyRead, Tenant

app = typer.Typer(help="Tenants and their API keys.", no_args_is_help=True)
key_app = typer.Typer(help="A tenant's API keys.", no_args_is_help=True)
app.add_typer(key_app, name="key")
app.command("messages")(messages)

Name = Annotated[str, typer.Argument(help="The tenant's name.")]


@app.command()
def add(ctx: typer.Context, name: Name, json: JsonOut = False) -> None:
    """Add a tenant and make its first API key, whose secret is shown this once.

    Example: qibai tenant add acme
    """
    tenant, key = perform(ctx, lambda desk: service.add(desk, name))
    if json:
        as_json({"id": tenant.id, "name": tenant.name, "key_id": key.id, "api_key": key.bearer})
        return
    done(f"tenant {tenant.name} added")
    say("API key, shown only now: ", key.bearer)


@app.command("list")
def list_(ctx: typer.Context, json: JsonOut = False) -> None:
    """List tenants.

    Example: qibai tenant list --json
    """
    found = with_store(config_of(ctx), service.list_tenants)
    if json:
        as_json([_tenant(one) for one in found])
    else:
        table(
            ("tenant", "since", "state"),
            ((t.name, shown(t.created_at), "disabled" if t.disabled_at else "active") for t in found),
        )


@app.command()
def disable(ctx: typer.Context, name: Name, json: JsonOut = False) -> None:
    """Shut a tenant out of the API; calls of its bindings go on.

    Example: qibai tenant disable acme
    """
    tenant = perform(ctx, lambda desk: service.disable(desk, name))
    if json:
        as_json(_tenant(tenant))
    else:
        done(f"tenant {tenant.name} disabled")


@app.command()
def enable(ctx: typer.Context, name: Name, json: JsonOut = False) -> None:
    """Undo disable.

    Example: qibai tenant enable acme
    """
    tenant = perform(ctx, lambda desk: service.enable(desk, name))
    if json:
        as_json(_tenant(tenant))
    else:
        done(f"tenant {tenant.name} enabled")


@key_app.command("add")
def key_add(  # noqa: PLR0917  # options
    ctx: typer.Context,
    name: Name,
    network: Annotated[
        bool,
        typer.Option(
            "--network", help="A carrier's: it translates the numbers of every tenant, and does nothing else."
        ),
    ] = False,
    why: Why = "",
    api_key: PersonKey = None,
    json: JsonOut = False,
) -> None:
    """Make another API key, which reads real numbers; its secret is shown this once.

    Once there are two operators, this takes two persons (`qibai dual`).
    Example: qibai tenant key add acme
    """
    role = Role.NETWORK if network else Role.TENANT
    key = perform(ctx, lambda desk: service.add_key_of_tenant(desk, name, role, why), api_key)
    if json:
        as_json({"key_id": key.id, "api_key": key.bearer})
    else:
        say("API key, shown only now: ", key.bearer)


@key_app.command("list")
def key_list(ctx: typer.Context, name: Name, json: JsonOut = False) -> None:
    """List a tenant's API keys, without secrets, and how many real numbers were read whole with each.

    Example: qibai tenant key list acme
    """
    found, reads = with_store(config_of(ctx), lambda conn: service.keys_of_tenant(conn, name))
    if json:
        as_json([_key(one, reads.get(one.id)) for one in found])
    else:
        table(
            ("key", "role", "since", "state", "numbers read", "last"),
            (
                (
                    k.id,
                    k.kind,
                    shown(k.created_at),
                    "revoked" if k.revoked_at else "active",
                    str(reads[k.id].numbers if k.id in reads else 0),
                    shown(reads[k.id].last_at) if k.id in reads else "–",
                )
                for k in found
            ),
        )


@key_app.command("revoke")
def key_revoke(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(help="The key's id, as `tenant key list` shows it.")],
    json: JsonOut = False,
) -> None:
    """Revoke an API key permanently.

    Example: qibai tenant key revoke h4k9xw2mqp7c
    """
    perform(ctx, lambda desk: service.revoke_key(desk, key_id))
    if json:
        as_json({"key_id": key_id, "revoked": True})
    else:
        done(f"key {key_id} revoked")


def _tenant(tenant: Tenant) -> dict[str, object]:
    return {
        "id": tenant.id,
        "name": tenant.name,
        "created_at": tenant.created_at,
        "disabled_at": tenant.disabled_at,
    }


def _key(key: ApiKey, read: KeyRead | None) -> dict[str, object]:
    return {
        "key_id": key.id,
        "kind": key.kind,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
        "numbers_read": 0 if read is None else read.numbers,
        "last_read_at": None if read is None else read.last_at,
    }
