"""``qibai dual …``: what one person asked for and another has to approve."""

from typing import Annotated

import typer

from qibai.cli.database import Connection, with_acts, with_store
from qibai.cli.identity import PersonKey, prove
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done, table
from qibai.cli.times import shown
from qibai.store import dual
from qibai.store.dual import Request
from qibai.store.keys import Keyring

app = typer.Typer(help="Acts that take two persons.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The request's id, as `qibai dual list` shows it.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    json: JsonOut = False,
) -> None:
    """List requests that wait for approval or use.

    Example: qibai dual list
    """
    found = with_store(config_of(ctx), lambda conn: dual.requests(conn, open_only=not every))
    if json:
        as_json(found)
        return
    table(
        ("request", "what", "exactly", "why", "asked by", "until", "state"),
        (
            (
                one.id,
                one.action,
                one.params,
                one.reason,
                one.asked_by,
                shown(one.expires_at),
                f"{one.state} by {one.decided_by}" if one.decided_by else one.state,
            )
            for one in found
        ),
    )


@app.command()
def approve(ctx: typer.Context, id: Id, api_key: PersonKey = None, json: JsonOut = False) -> None:
    """Approve what another person asked for, with your own operator's key.

    Example: QIBAI_API_KEY=qb_… qibai dual approve k3m9x2wq7p
    """
    _decide(ctx, id, api_key, json=json, approve=True)


@app.command()
def reject(ctx: typer.Context, id: Id, api_key: PersonKey = None, json: JsonOut = False) -> None:
    """Reject a request; who asked takes it back so.

    Example: qibai dual reject k3m9x2wq7p
    """
    _decide(ctx, id, api_key, json=json, approve=False)


def _decide(ctx: typer.Context, id: str, api_key: str | None, *, json: bool, approve: bool) -> None:
    config = config_of(ctx)
    keyring = Keyring.load(config.key_file)

    async def work(conn: Connection) -> Request:
        actor = await prove(conn, config, api_key)
        return await dual.decide(conn, keyring, actor, id, approve=approve)

    decided = with_acts(config, keyring, work)
    if json:
        as_json(decided)
    else:
        done(f"{decided.action} {decided.params}, asked by {decided.asked_by}: {decided.state}")
