"""Pairs that connect although their binding is over."""

import time
from datetime import timedelta
from typing import Final

from qibai.cli.doctor.finding import Finding, fail, ok, skip
from qibai.config import Config
from qibai.core.errors import QibaiError
from qibai.store import dsn
from qibai.store.failures import DriverError, own_errors
from qibai.store.hosts import connect
from qibai.store.orphans import end_orphans

_LOOK_S: Final = 5.0


def check_routes(config: Config) -> Finding:
    """Looks for some seconds; what it finds is ended at once, as the sweep would within the hour."""
    quarantine = timedelta(seconds=config.binding.quarantine_s)
    until = time.monotonic() + _LOOK_S
    try:
        timeout_s = config.store.connect_timeout_s
        with own_errors(), connect(dsn(config), connect_timeout_s=timeout_s, autocommit=True) as conn:
            ended, all_seen = end_orphans(conn, quarantine, stop=lambda: time.monotonic() > until)
    except (DriverError, QibaiError):
        return skip("routes", "needs the store and its schema")
    if ended:
        return fail(
            "routes",
            f"{ended} pairs of a 700 number and a caller still connected calls "
            "although their binding was over; the pairs are closed now",
            "find out who else writes to the database (a restore, edits by hand); if nobody does, report it",
        )
    says = "every live route has its binding"
    return ok("routes", says if all_seen else f"{says}, as far as {_LOOK_S:.0f} s allowed to look")
