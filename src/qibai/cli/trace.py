"""``qibai trace`` and ``qibai reveal``: through the API, as whoever the key names."""

from typing import Annotated, Any

import typer

from qibai.cli.language import local
from qibai.cli.options import ApiKey, ApiUrl, JsonOut, asked, config_of
from qibai.cli.output import as_json, note, out, say, table
from qibai.cli.remote import remote
from qibai.cli.times import FORM, moment, shown
from qibai.core.numbering import Number700


def trace(  # noqa: PLR0917  # options
    ctx: typer.Context,
    number: Annotated[str, typer.Argument(help="The 700 number, as it was seen or dialled.")],
    at: Annotated[str, typer.Option(metavar="TIME", help=f"When, {FORM}.")],
    party: Annotated[
        str | None,
        typer.Option(help="A real number that took part (10 times an hour); - asks for it.", callback=asked),
    ] = None,
    window: Annotated[int, typer.Option(min=0, max=86_400, help="Seconds around that time.")] = 300,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: JsonOut = False,
) -> None:
    """Trace a 700 number (溯源): whose it was then, for which order; real numbers stay masked.

    For operators and auditors; every trace is in the audit trail.
    Example: qibai trace 700100000011234 --at 2026-06-01T14:03:00+08:00
    """
    wanted: dict[str, Any] = {
        "number": str(Number700.parse(number)),
        "at": moment(at, "at").isoformat(),
        "window_s": window,
    }
    if party is not None:
        wanted["party"] = party
    with remote(config_of(ctx), api_url, api_key) as api:
        answer = api.ask("POST", "/v1/trace", wanted)
    if json:
        as_json(answer)
        return
    if not answer["items"] and not answer["refused"]:
        say("nobody held this number then, or it is no longer kept")
    for one in answer["items"]:
        _print(one)
    if answer["refused"]:
        say("refused calls to this number then:")
    for call in answer["refused"]:
        _print_call(call)
    if answer["more"]:
        note("… and more: give --party, or a smaller --window")


def reveal(  # noqa: PLR0917  # options
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(help="The binding's or call's id, as `qibai trace` shows it.")],
    why: Annotated[str, typer.Option(help="For whoever has to approve it, and for the audit trail.")],
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: JsonOut = False,
) -> None:
    """Show a binding's or call's real numbers, once, after another operator has approved it (`qibai dual`).

    Example: qibai reveal b10000001-0abcdefghjkmn --why "case 2026-118"
    """
    with remote(config_of(ctx), api_url, api_key) as api:
        answer = api.ask("POST", "/v1/trace/reveal", {"id": id, "why": why})
    if json:
        as_json(answer, reveal=True)
        return
    names = {
        "a": "A",
        "members": local("members"),
        "b": "B",
        "caller": local("caller"),
        "callee": local("callee"),
    }
    rows = [(said, answer[key]) for key, said in names.items() if answer.get(key)]
    table(
        ("shown once", id),
        ((said, ", ".join(it) if isinstance(it, list) else it) for said, it in rows),
    )


def _print(one: dict[str, Any]) -> None:
    table(
        ("binding", one["id"]),
        (
            (local("application platform"), one["platform"]),
            (local("tenant"), one["tenant"]),
            (local("order"), f"{one['order_id']} ({one['scene']})"),
            (local("identifier"), one["industrial_id"]),
            (local("mode"), one["mode"]),
            ("X", one["x"]),
            ("Y", one["y"]),
            ("A" if one["a"] else local("members"), one["a"] or ", ".join(one["members"])),
            ("B", one["b"]),
            (local("state"), one["status"]),
            (local("from"), shown(one["created_at"])),
            (local("until"), shown(one["released_at"] or one["expires_at"])),
        ),
    )
    for call in one["calls"]:
        _print_call(call)


def _print_call(call: dict[str, Any]) -> None:
    ends = shown(call["ended_at"]) or "…"
    who = f"{call['caller'] or '–'} → {call['callee'] or '–'}"
    peer = local(f"from {call['caller_peer']}") if call["caller_peer"] else ""
    when = f"{shown(call['started_at'])} – {ends}"
    text = f"{local('call')} {call['id']}  {when}  {who}  {call['reason'] or ''}  {peer}"
    out.print(text.rstrip(), markup=False)
