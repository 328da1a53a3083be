"""``qibai pools``: how many numbers are free, and until when."""

from typing import Annotated, Any

import msgspec
import typer

from qibai.cli.database import with_store
from qibai.cli.options import ApiUrl, JsonOut, config_of
from qibai.cli.output import as_json, note, say, table
from qibai.cli.remote import remote
from qibai.cli.resources.common import names_of
from qibai.cli.times import shown
from qibai.config import Config
from qibai.core.numbering import parse_province
from qibai.service import pools
from qibai.service.pools import Pool


def show(  # noqa: PLR0917  # options
    ctx: typer.Context,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    province: Annotated[str | None, typer.Option(help="Only in this province.")] = None,
    scenes: Annotated[bool, typer.Option("--scenes", help="By scene, too.")] = False,
    count: Annotated[bool, typer.Option("--count", help="Count now, do not wait for the recorder.")] = False,
    api_url: ApiUrl = None,
    api_key: Annotated[
        str | None, typer.Option("--api-key", help="Ask the API, and see what this key sees.")
    ] = None,
    json: JsonOut = False,
) -> None:
    """Show pools of numbers by tenant and province: free, bound, resting, locked; when they are used up.

    Example: qibai pools --tenant acme --scenes
    """
    config = config_of(ctx)
    if api_key is not None:
        with remote(config, api_url, api_key) as api:
            found = api.ask("GET", "/v1/pools")
    else:
        found = msgspec.to_builtins(_read(config, count=count))
    where = None if province is None else parse_province(province).code
    chosen = [
        one
        for one in found
        if (tenant is None or one["tenant"] == tenant)
        and (where is None or one["province"] == where)
        and (scenes or one["scene"] is None)
    ]
    if json:
        as_json(chosen)
    elif not found:
        say("nothing was counted yet; --count does it now")
    else:
        names = ("tenant", "province", "scene", "numbers", "free", "bound", "resting", "locked", "until")
        table((*names, "alert"), (_row(one) for one in chosen))
        note(f"counted at {shown(found[0]['at'])}")


def _read(config: Config, *, count: bool) -> list[Pool]:
    if count:
        pools.count_now(config)
    return with_store(config, lambda conn: pools.list_pools(conn, config.pools))


def _row(one: dict[str, Any]) -> tuple[Any, ...]:
    share = 100 * one["free"] / one["total"] if one["total"] else 0
    return (
        one["tenant"],
        names_of([one["province"]]) if one["province"] else "all",
        one["scene"] or "all",
        one["total"],
        f"{one['free']} ({share:.0f} %)",
        one["bound"],
        one["quarantined"],
        one["locked"],
        shown(one["exhausted_at"]),
        one["alert"],
    )
