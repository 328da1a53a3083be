"""``qibai login``: the API and key that this home's commands use from now on."""

import json as jsonlib
import os
from typing import Annotated

import msgspec
import typer

from qibai.cli.options import ApiUrl, JsonOut, asked_secret, config_of
from qibai.cli.output import as_json, done
from qibai.client.requests import Credentials, KeyMalformed
from qibai.config import Config
from qibai.core.errors import BadRequest, KeyFileError


class Saved(msgspec.Struct, frozen=True):
    """What ``cli.json`` holds."""

    api_key: str
    api_url: str = ""


def login(
    ctx: typer.Context,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="QIBAI_API_KEY", help="The key; else it is asked for, or read from a pipe."),
    ] = None,
    api_url: ApiUrl = None,
    json: JsonOut = False,
) -> None:
    """Save an API key for `bind`, `calls` and the others, in cli.json (mode 600) of the home.

    Example: QIBAI_API_KEY=qb_… qibai login
    """
    config = config_of(ctx)
    key = api_key or asked_secret("API key")
    if not key:
        raise BadRequest("give the API key: QIBAI_API_KEY, a line of standard input, or --api-key")
    try:
        Credentials.of(key, signed=True)
    except KeyMalformed as exc:
        raise BadRequest(str(exc), field="api_key") from None
    save(config, Saved(key, api_url or ""))
    if json:
        as_json({"saved": config.home / "cli.json"})
    else:
        done(f"saved in {config.home / 'cli.json'}")


def save(config: Config, saved: Saved) -> None:
    """Write ``cli.json``, never readable by others."""
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = config.home / "cli.json"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        jsonlib.dump(msgspec.to_builtins(saved), file)


def load(config: Config) -> Saved | None:
    """What was saved; None: nothing. Raise KeyFileError when others can read it or it is damaged."""
    path = config.home / "cli.json"
    try:
        if path.stat().st_mode & 0o077:
            raise KeyFileError(f"{path} can be read by others; chmod 600 {path}")
        return msgspec.json.decode(path.read_bytes(), type=Saved)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as exc:
        raise KeyFileError(f"{path} cannot be read; run `qibai login` again") from exc
