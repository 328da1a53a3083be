"""``qibai version``, and ``qibai --version``."""

import platform

import typer

from qibai import __version__
from qibai.cli.options import JsonOut
from qibai.cli.output import as_json, say


def version(json: JsonOut = False) -> None:
    """Print the version."""
    if json:
        as_json({"qibai": __version__, "python": platform.python_version()})
    else:
        say(f"qibai {__version__} (Python {platform.python_version()})")


def print_version(wanted: bool) -> None:
    """As an option: print, and do nothing else."""
    if wanted:
        version()
        raise typer.Exit


COMMANDS = {"version": version}
