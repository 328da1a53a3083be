"""``qibai approval …`` (试点批文) and ``qibai certificate …`` (码号资源使用证书)."""

from typing import Annotated

import typer

from qibai.cli.desk import perform
from qibai.cli.identity import PersonKey
from qibai.cli.options import JsonOut
from qibai.cli.output import as_json, done, table
from qibai.cli.resources.common import At, Provinces, day, names_of, provinces_of, read
from qibai.cli.times import shown
from qibai.service import papers
from qibai.service.papers import Kind, Paper, PaperRow

approvals = typer.Typer(help="Pilot approvals (试点批文).", no_args_is_help=True)
certificates = typer.Typer(help="Code-resource certificates (码号资源使用证书).", no_args_is_help=True)

Number = Annotated[str, typer.Argument(help="The number that the paper bears.")]
LastDay = Annotated[str, typer.Option("--to", help="Its last day, YYYY-MM-DD, Beijing time.")]


def _help(words: str, example: str) -> str:
    return f"{words}\n\nExample: qibai {example}"


def _commands(kind: Kind, app: typer.Typer) -> None:
    @app.command(
        help=_help(
            "Enter a paper of an application platform.",
            f"{kind} add east 2025-0001 --from 2026-01-01 --to 2026-12-31 --province all",
        )
    )
    def add(  # noqa: PLR0917  # options
        ctx: typer.Context,
        platform: Annotated[str, typer.Argument(help="Whose it is.")],
        number: Number,
        first: Annotated[str, typer.Option("--from", help="Its first day, YYYY-MM-DD, Beijing time.")],
        last: LastDay,
        province: Provinces,
        json: JsonOut = False,
    ) -> None:
        paper = Paper(number, provinces_of(province), day(first, "from"), day(last, "to"))
        perform(ctx, lambda desk: papers.add(desk, kind, platform, paper))
        _say(json, number, f"{kind} {number} of {platform} entered")

    @app.command(help=_help("Let it hold until a later day.", f"{kind} renew 2025-0001 --to 2027-12-31"))
    def renew(ctx: typer.Context, number: Number, last: LastDay, json: JsonOut = False) -> None:
        until = day(last, "to")
        perform(ctx, lambda desk: papers.renew(desk, kind, number, until))
        _say(json, number, f"{kind} {number} holds until {until}")

    @app.command(
        help=_help(
            "Revoke it: new binds stop at once, calls after the grace (pilot.grace_s)."
            "\n\nTakes two persons (`qibai dual`).",
            f"{kind} revoke 2025-0001 --why 'a notice of 2026-05-01'",
        )
    )
    def revoke(  # noqa: PLR0917  # options
        ctx: typer.Context,
        number: Number,
        why: Annotated[str, typer.Option(help="Why.")],
        at: At = None,
        api_key: PersonKey = None,
        json: JsonOut = False,
    ) -> None:
        since = perform(ctx, lambda desk: papers.revoke(desk, kind, number, why=why, at=at), api_key)
        _say(json, number, f"{kind} {number} is revoked from {shown(since)}")

    @app.command(
        "list",
        help=_help("List them in the order in which they were entered.", f"{kind} list --platform east"),
    )
    def list_(
        ctx: typer.Context,
        platform: Annotated[str | None, typer.Option(help="Only this application platform's.")] = None,
        json: JsonOut = False,
    ) -> None:
        found = read(ctx, lambda conn: papers.list_papers(conn, kind, platform=platform))
        if json:
            as_json(found)
            return
        rows = (
            (
                p.number,
                p.platform,
                p.first_day,
                p.last_day,
                names_of(p.provinces),
                _state(p),
            )
            for p in found
        )
        table(("number", "platform", "from", "to", "provinces", "state"), rows)


def _state(paper: PaperRow) -> str | None:
    if paper.revoked_at is not None:
        return f"revoked {shown(paper.revoked_at)}: {paper.revoked_why}"
    return None if paper.exit_at is None else f"early exit {shown(paper.exit_at)}"


def _say(json: bool, number: str, text: str) -> None:
    if json:
        as_json({"number": number})
    else:
        done(text)


_commands("approval", approvals)
_commands("certificate", certificates)


@approvals.command("exit")
def exit_(ctx: typer.Context, number: Number, at: At = None, json: JsonOut = False) -> None:
    """Enter an early exit: from then on nothing new is bound, what is bound runs out.

    Example: qibai approval exit 2025-0001 --at 2026-09-01T00:00:00+08:00
    """
    since = perform(ctx, lambda desk: papers.leave_early(desk, number, at=at))
    _say(json, number, f"the holder of {number} leaves the pilot from {shown(since)}")
