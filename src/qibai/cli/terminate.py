"""``qibai terminate``."""

from typing import Annotated

import typer

from qibai.cli.options import ApiKey, ApiUrl, JsonOut, Reveal, Whose, config_of
from qibai.cli.output import as_json, done
from qibai.cli.remote import remote


def terminate(  # noqa: PLR0917  # options
    ctx: typer.Context,
    call: Annotated[str, typer.Argument(help="The call's id, as `qibai calls` shows it.")],
    tenant: Whose = None,
    reveal: Reveal = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: JsonOut = False,
) -> None:
    """End a running call.

    Example: qibai terminate c10000001-0abcdefghjkmn
    """
    with remote(config_of(ctx), api_url, api_key) as api:
        answer = api.terminate(call, tenant)
    if json:
        as_json(answer, reveal=reveal)
    else:
        done(f"{call} is being ended")
