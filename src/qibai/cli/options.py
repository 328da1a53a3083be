"""What commands share: the home, JSON output, and where the API is."""

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # else it is imported when it is read: `--version` and `--help` need none
    from qibai.config import Config

JsonOut = Annotated[bool, typer.Option("--json", help="Print JSON.", envvar="QIBAI_JSON")]
ApiUrl = Annotated[
    str | None,
    typer.Option("--api-url", envvar="QIBAI_API_URL", help="The API; else the saved, or the local."),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key", envvar="QIBAI_API_KEY", help="The tenant's key; else the saved one.", show_envvar=True
    ),
]


Reveal = Annotated[bool, typer.Option("--reveal", help="Write real numbers out.")]
Whose = Annotated[
    str | None,
    typer.Option("--tenant", help="Tenant to act for. Required with an operator, auditor or platform key."),
]


@dataclass
class State:
    """What options before the command's name say."""

    home: Path | None
    name: str | None = None  #: who acts, as `--as` says

    @cached_property
    def config(self) -> "Config":
        from qibai import config  # noqa: PLC0415  # as above

        return config.load(self.home)


def asked(param: typer.CallbackParam, value: str | None) -> str | None:
    """A real number; ``-`` asks for it, or reads a line of standard input.

    What stands on the command line is seen by every user of the machine.
    """
    return value if value != "-" else asked_secret(f"{param.name}, a real number")


def asked_secret(what: str) -> str:
    """What is typed unseen, or a line of standard input where that is no terminal."""
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True))
    return sys.stdin.readline().strip()


def asked_each(param: typer.CallbackParam, value: list[str] | None) -> list[str]:
    """Several of them."""
    return [asked(param, one) or "" for one in value or []]


def config_of(ctx: typer.Context) -> "Config":
    """The configuration of the home that the command line names. Raise ConfigError."""
    return (ctx.find_object(State) or State(None)).config
