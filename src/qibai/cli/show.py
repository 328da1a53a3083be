"""``qibai show NUMBER``."""

from typing import Annotated, Any

import typer

from qibai.cli.language import local
from qibai.cli.options import ApiKey, ApiUrl, JsonOut, Reveal, Whose, config_of
from qibai.cli.output import as_json, say, table
from qibai.cli.remote import remote
from qibai.cli.times import shown
from qibai.core.masking import mask_numbers
from qibai.core.numbering import Number700


def show(  # noqa: PLR0917  # Typer calls it by name
    ctx: typer.Context,
    number: Annotated[str, typer.Argument(help="A 700 number, or a binding's id.")],
    reveal: Reveal = False,
    tenant: Whose = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: JsonOut = False,
) -> None:
    """Show the tenant's bindings on a 700 number, newest first; real numbers masked unless --reveal.

    Example: qibai show 700100000011234
    """
    with remote(config_of(ctx), api_url, api_key) as api:
        if tenant is not None:
            found = api.of_tenant(tenant, "bindings", number=str(Number700.parse(number)))
        elif number.startswith("b"):
            found = [api.binding(number)]
        else:
            found = api.bindings_of(str(Number700.parse(number)))
    if json:
        as_json(found, reveal=reveal)
    elif not found:
        say("no binding")
    else:
        for one in found:
            print_binding(one, reveal=reveal)


def print_binding(one: dict[str, Any], *, reveal: bool = False) -> None:
    """A binding as a small table; its real numbers are masked unless ``reveal``."""
    as_shown = str if reveal else mask_numbers
    near = as_shown(", ".join(one.get("members") or []) or one.get("a") or "")
    table(
        ("binding", one["id"]),
        (
            (local("mode"), one["mode"]),
            ("X", one["x"]),
            ("Y", one.get("y")),
            ("A" if one.get("a") else local("members"), near),
            ("B", as_shown(one["b"])),
            (local("status"), one["status"]),
            (local("order"), f"{one['order_id']} ({one['scene']})"),
            (local("from"), shown(one["created_at"])),
            (local("until"), shown(one["expires_at"])),
        ),
    )
