"""``qibai version``, and ``qibai --version``."""

import platform

import typer

from qibai import __version__
from qibai.cli.options import JsonOut


def version(json: JsonOut = False) -> None:
    """Print the version.

    Example: qibai version --json
    """
    if json:
        from qibai.cli.output import as_json  # noqa: PLC0415  # the sentence needs none of it

        as_json({"qibai": __version__, "python": platform.python_version()})
    else:
        typer.echo(f"qibai {__version__} (Python {platform.python_version()})")
