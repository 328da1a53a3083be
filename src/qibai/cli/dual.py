"""``qibai dual …``: what one person asked for and another has to approve."""

from typing import Annotated

import typer

from qibai.cli.database import with_store
from qibai.cli.desk import perform
from qibai.cli.identity import PersonKey, Why
from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done, table
from qibai.cli.times import shown
from qibai.service import second_person
from qibai.store.keys import Keyring

app = typer.Typer(help="Acts that take two persons.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The request's id, as `qibai dual list` shows it.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Also list closed requests.")] = False,
    json: JsonOut = False,
) -> None:
    """List requests that wait for approval or use.

    Example: qibai dual list
    """
    found = with_store(config_of(ctx), lambda conn: second_person.requests(conn, open_only=not every))
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
    """Reject a request. The person who made it takes it back this way.

    Example: qibai dual reject k3m9x2wq7p
    """
    _decide(ctx, id, api_key, json=json, approve=False)


@app.command()
def rule(  # options
    ctx: typer.Context,
    persons: Annotated[
        int | None, typer.Argument(min=1, max=2, help="1 or 2; without it, the rule is shown.")
    ] = None,
    why: Why = "",
    api_key: PersonKey = None,
    json: JsonOut = False,
) -> None:
    """Show or set how many persons these acts take.

    The rule is sealed in the database. Once there are two operators, lowering it takes two persons.
    Example: qibai dual rule 2
    """
    if persons is None:
        config = config_of(ctx)
        keyring = Keyring.load(config.key_file)
        persons = with_store(config, lambda conn: second_person.persons(conn, keyring))
    else:
        wanted = persons
        perform(ctx, lambda desk: second_person.set_rule(desk, wanted, why), api_key)
    if json:
        as_json({"persons": persons})
    else:
        done(
            "these acts take two persons"
            if persons == second_person.TWO
            else "one person does these acts alone"
        )


def _decide(ctx: typer.Context, id: str, api_key: str | None, *, json: bool, approve: bool) -> None:
    decided = perform(ctx, lambda desk: second_person.decide(desk, id, approve=approve), api_key)
    if json:
        as_json(decided)
    else:
        done(f"{decided.action} {decided.params}, asked by {decided.asked_by}: {decided.state}")
