"""The command line: a thin file per command."""

import gc
import sys

import typer
from typer.exceptions import TyperException

from qibai.cli import terminal
from qibai.cli.app import app
from qibai.core.errors import QibaiError


def fail(code: str, message: str, field: str | None = None) -> None:
    """``output.fail``; what prints it is imported when there is something to print."""
    from qibai.cli import output  # noqa: PLC0415  # as said

    output.fail(code, message, field)


def main() -> None:
    """Run the command line; a failure is one sentence with its code on stderr, and a status other than 0."""
    terminal.settle()
    gc.disable()  # until the command is loaded
    try:
        status = app(standalone_mode=False)
    except QibaiError as exc:
        fail(exc.code, exc.message, exc.field)
        sys.exit(1)
    except typer.Exit as exc:
        sys.exit(exc.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except TyperException as exc:
        fail("usage", exc.format_message())
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads any more
        sys.exit(141)
    except OSError as exc:
        fail("system", f"{exc.filename or 'this machine'}: {exc.strerror or exc}")
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)
