"""``qibai application …``."""

from datetime import datetime
from typing import Annotated

import typer

from qibai.cli.desk import perform
from qibai.cli.language import local
from qibai.cli.options import JsonOut
from qibai.cli.output import as_json, done, table
from qibai.cli.resources.common import At, day, provinces_of, read
from qibai.cli.times import FORM, moment_of, shown
from qibai.core.numbering import parse_codes
from qibai.core.pilot import ApplicationState
from qibai.service import applications

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
    id = perform(ctx, lambda desk: applications.draft(desk, platform, kind, note=note, at=at))
    if json:
        as_json({"id": id, "state": "drafted"})
    else:
        done(f"application {id} of {platform} drafted ({kind})")


@app.command()
def submit(ctx: typer.Context, id: Id, at: At = None, json: JsonOut = False) -> None:
    """Hand it in. From an initial application on, the platform counts as having applied.

    Example: qibai application submit 1
    """
    _move(ctx, id, ApplicationState.SUBMITTED, at, json=json)


@app.command()
def accept(ctx: typer.Context, id: Id, at: At = None, json: JsonOut = False) -> None:
    """Record that it was accepted for examination.

    Example: qibai application accept 1
    """
    _move(ctx, id, ApplicationState.ACCEPTED, at, json=json)


@app.command()
def refuse(
    ctx: typer.Context,
    id: Id,
    reason: Annotated[str, typer.Option(help="Why.")],
    at: At = None,
    json: JsonOut = False,
) -> None:
    """Record that it was refused; it can be drafted again (`application redraft`).

    Example: qibai application refuse 1 --reason "no network security plan"
    """
    _move(ctx, id, ApplicationState.REFUSED, at, json=json, reason=reason)


@app.command()
def redraft(ctx: typer.Context, id: Id, at: At = None, json: JsonOut = False) -> None:
    """Take up a refused application again.

    Example: qibai application redraft 1
    """
    _move(ctx, id, ApplicationState.DRAFTED, at, json=json)


@app.command()
def grant(  # noqa: PLR0917  # options
    ctx: typer.Context,
    id: Id,
    approval: Annotated[str | None, typer.Option(help="The approval's number.")] = None,
    certificate: Annotated[str | None, typer.Option(help="The certificate's number.")] = None,
    province: Annotated[
        list[str] | None, typer.Option(help="Where new papers hold, again for each; `all`: the eleven.")
    ] = None,
    first: Annotated[str | None, typer.Option("--from", help="Their first day, YYYY-MM-DD.")] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="Their last day; of a renewal, the new one.")
    ] = None,
    codes: Annotated[
        list[str] | None,
        typer.Option(help="Codes, or ranges FIRST-LAST, to assign or, of a return, to drain."),
    ] = None,
    exit_at: Annotated[
        datetime | None,
        typer.Option(
            parser=moment_of("exit_at"), metavar="TIME", help=f"When an early exit takes effect, {FORM}."
        ),
    ] = None,
    at: At = None,
    json: JsonOut = False,
) -> None:
    """It was granted; what came of it is entered along with it, or by the other commands.

    Example: qibai application grant 1 --certificate 2025-0001 --codes 70010000021-70010000040
    """
    outcome = applications.Outcome(
        approval=approval,
        certificate=certificate,
        provinces=provinces_of(province or ()),
        first_day=None if first is None else day(first, "from"),
        last_day=None if last is None else day(last, "to"),
        codes=parse_codes(codes or ()),
        exit_at=exit_at,
    )
    did = perform(ctx, lambda desk: applications.grant(desk, id, outcome, at=at))
    if json:
        as_json({"id": id, "state": "granted", "did": did})
    else:
        done("; ".join(map(local, [f"application {id} is granted", *did])))


@app.command("list")
def list_(
    ctx: typer.Context,
    platform: Annotated[str | None, typer.Option(help="Only this application platform's.")] = None,
    json: JsonOut = False,
) -> None:
    """List applications, oldest first.

    Example: qibai application list --platform east
    """
    found = read(ctx, lambda conn: applications.list_applications(conn, platform=platform))
    if json:
        as_json(found)
    else:
        rows = ((a.id, a.platform, a.kind, a.state, shown(a.submitted_at), a.note, a.reason) for a in found)
        table(("id", "platform", "kind", "state", "submitted", "for", "reason"), rows)


@app.command()
def show(ctx: typer.Context, id: Id, json: JsonOut = False) -> None:
    """Show each step that an application took.

    Example: qibai application show 1
    """
    found = read(ctx, lambda conn: applications.history(conn, id))
    if json:
        as_json(found)
    else:
        table(("state", "at", "reason"), ((s.state, shown(s.at), s.reason) for s in found))


def _move(
    ctx: typer.Context,
    id: int,
    to: ApplicationState,
    at: datetime | None,
    *,
    json: bool,
    reason: str | None = None,
) -> None:
    perform(ctx, lambda desk: applications.move(desk, id, to, at=at, reason=reason))
    if json:
        as_json({"id": id, "state": to.value})
    else:
        done(f"application {id} is {to.value}")
