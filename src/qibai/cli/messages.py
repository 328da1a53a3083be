"""``qibai messages``."""

from typing import Annotated, Any, Final

import typer

from qibai.cli.options import ApiKey, ApiUrl, JsonOut, Reveal, Whose, config_of
from qibai.cli.output import as_json, table
from qibai.cli.remote import remote
from qibai.cli.times import shown
from qibai.core.messages import MessageState

_COLUMNS: Final = ("message", "called", "shown", "created_at", "state", "reason", "parts", "content")


def messages(  # noqa: PLR0917  # Typer calls it by name
    ctx: typer.Context,
    limit: Annotated[
        int, typer.Option(envvar="QIBAI_LIMIT", min=1, max=1000, help="The most records to list.")
    ] = 20,
    binding: Annotated[str | None, typer.Option(envvar="QIBAI_BINDING", help="Only of this binding.")] = None,
    order_id: Annotated[
        str | None, typer.Option("--order", envvar="QIBAI_ORDER", help="Only of this order.")
    ] = None,
    state: Annotated[
        MessageState | None, typer.Option(envvar="QIBAI_STATE", help="Only in this state.")
    ] = None,
    tenant: Whose = None,
    reveal: Reveal = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: JsonOut = False,
) -> None:
    """List message records, newest first; their texts are starred.

    Example: qibai messages --state rejected
    """
    query = {"binding": binding, "order_id": order_id, "state": state.value if state else None}
    with remote(config_of(ctx), api_url, api_key) as api:
        if tenant is None:
            found = api.messages(limit, **query)
        else:
            given = {name: value for name, value in query.items() if value is not None}
            found = api.of_tenant(tenant, "messages", limit=limit, **given)
    if json:
        as_json(found, reveal=reveal)
    else:
        table(_COLUMNS, (_row(one) for one in found))


def _row(one: dict[str, Any]) -> tuple[Any, ...]:
    values = (shown(one[name]) if name.endswith("_at") else one.get(name) for name in _COLUMNS[1:])
    return (one["id"], *values)
