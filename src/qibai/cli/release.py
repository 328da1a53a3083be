"""``qibai release``."""

from typing import Annotated

import typer

from qibai.cli.options import ApiKey, ApiUrl, JsonOut, config_of
from qibai.cli.output import as_json, done
from qibai.cli.remote import remote
from qibai.cli.times import shown


def release(
    ctx: typer.Context,
    binding: Annotated[str, typer.Argument(help="The binding's id.")],
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: JsonOut = False,
) -> None:
    """End a binding now; its numbers are held back for the quarantine.

    Example: qibai release b10000001-0abcdefghjkmn
    """
    with remote(config_of(ctx), api_url, api_key) as api:
        released = api.release(binding)
    if json:
        as_json(released)
    else:
        done(f"{released['id']} ended at {shown(released['ended_at'])}")
