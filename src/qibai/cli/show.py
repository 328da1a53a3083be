"""``qibai show NUMBER``."""

from typing import Annotated, Any

import typer

from qibai.cli.options import ApiKey, ApiUrl, JsonOut, config_of
from qibai.cli.output import as_json, say, table
from qibai.cli.remote import remote
from qibai.core.numbering import Number700


def show(
    ctx: typer.Context,
    number: Annotated[str, typer.Argument(help="A 700 number, or a binding's id.")],
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: JsonOut = False,
) -> None:
    """Show the tenant's bindings on a 700 number, newest first.

    Example: qibai show 700100000011234
    """
    with remote(config_of(ctx), api_url, api_key) as api:
        if number.startswith("b"):
            found = [api.binding(number)]
        else:
            found = api.bindings_of(str(Number700.parse(number)))
    if json:
        as_json(found)
    elif not found:
        say("no binding")
    else:
        for one in found:
            print_binding(one)


def print_binding(one: dict[str, Any]) -> None:
    """A binding as a small table."""
    near = ", ".join(one.get("members") or []) or one.get("a")
    table(
        ("binding", one["id"]),
        (
            ("mode", one["mode"]),
            ("X", one["x"]),
            ("Y", one.get("y")),
            ("A" if one.get("a") else "members", near),
            ("B", one["b"]),
            ("status", one["status"]),
            ("order", f"{one['order_id']} ({one['scene']})"),
            ("from", one["created_at"]),
            ("until", one["expires_at"]),
        ),
    )


COMMANDS = {"show": show}
