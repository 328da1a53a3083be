"""``qibai application …``."""

from typing import Annotated

import typer

from qibai.cli.options import JsonOut
from qibai.cli.output import as_json, done, table
from qibai.cli.resources.common import At, change, instant, read, when
from qibai.core.pilot import ApplicationState
from qibai.store import resources

app = typer.Typer(
    help="Applications: for an approval or codes, to return codes, leave, renew.", no_args_is_help=True
)
Id = Annotated[int, typer.Argument(help="As `application list` shows it.")]


@app.command()
def draft(  # noqa: PLR0917  # options
    ctx: typer.Context,
    platform: Annotated[str, typer.Argument(help="Who applies.")],
    kind: Annotated[
        str, typer.Option(help="initial, supplement, return, early_exit or renewal.")
    ] = "initial",
    note: Annotated[str, typer.Option(help="What is applied for.")] = "",
    at: At = None,
    json: JsonOut = False,
) -> None:
    """Draft an application.

    Example: qibai application draft east --note "20 codes in Guangdong"
    """
    time = instant(at)
    id = change(
        ctx,
        "draft",
        f"platform:{platform}",
        lambda conn: resources.draft(conn, platform, kind, at=time, note=note),
        kind=kind,
    )
    if json:
        as_json({"id": id, "state": "drafted"})
    else:
        done(f"application {id} of {platform} drafted ({kind})")


@app.command()
def submit(ctx: typer.Context, id: Id, at: At = None, json: JsonOut = False) -> None:
    """Hand it in. From an initial application on, the platform counts as having applied."""
    _move(ctx, id, ApplicationState.SUBMITTED, at, json=json)


@app.command()
def accept(ctx: typer.Context, id: Id, at: At = None, json: JsonOut = False) -> None:
    """It was accepted for examination."""
    _move(ctx, id, ApplicationState.ACCEPTED, at, json=json)


@app.command()
def refuse(
    ctx: typer.Context,
    id: Id,
    reason: Annotated[str, typer.Option(help="Why.")],
    at: At = None,
    json: JsonOut = False,
) -> None:
    """It was refused; it may be drafted anew (`application redraft`)."""
    _move(ctx, id, ApplicationState.REFUSED, at, json=json, reason=reason)


@app.command()
def redraft(ctx: typer.Context, id: Id, at: At = None, json: JsonOut = False) -> None:
    """Take up a refused application again."""
    _move(ctx, id, ApplicationState.DRAFTED, at, json=json)


@app.command()
def grant(ctx: typer.Context, id: Id, at: At = None, json: JsonOut = False) -> None:
    """It was granted; enter what came of it with `qibai approval` and `qibai certificate`."""
    _move(ctx, id, ApplicationState.GRANTED, at, json=json)


@app.command("list")
def list_(
    ctx: typer.Context,
    platform: Annotated[str | None, typer.Option(help="Only this application platform's.")] = None,
    json: JsonOut = False,
) -> None:
    """List applications, oldest first."""
    found = read(ctx, lambda conn: resources.list_applications(conn, platform=platform))
    if json:
        as_json(found)
    else:
        rows = ((a.id, a.platform, a.kind, a.state, when(a.submitted_at), a.note, a.reason) for a in found)
        table(("id", "platform", "kind", "state", "submitted", "for", "reason"), rows)


@app.command()
def show(ctx: typer.Context, id: Id, json: JsonOut = False) -> None:
    """Show each step that an application took."""
    found = read(ctx, lambda conn: resources.history(conn, id))
    if json:
        as_json(found)
    else:
        table(("state", "at", "reason"), ((s.state, when(s.at), s.reason) for s in found))


def _move(
    ctx: typer.Context, id: int, to: ApplicationState, at: At, *, json: bool, reason: str | None = None
) -> None:
    time = instant(at)
    change(
        ctx,
        to.value,
        f"application:{id}",
        lambda conn: resources.move(conn, id, to, at=time, reason=reason),
        reason=reason,
    )
    if json:
        as_json({"id": id, "state": to.value})
    else:
        done(f"application {id} is {to.value}")
