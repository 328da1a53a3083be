"""Whether the pilot's rules are asked, where the pilot stands, and which papers end soon."""

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import psycopg

from qibai.cli.doctor.finding import Finding, fail, ok, warn
from qibai.config import UNRULED, Config
from qibai.core.pilot import BEIJING, Phase
from qibai.store import dsn

_SOON: Final = timedelta(days=30)
_PAPERS: Final = """
SELECT p.name, s.last_day, s.revoked_at FROM platform p JOIN platform_standing s ON s.platform_id = p.id
WHERE s.last_day IS NOT NULL
UNION ALL
SELECT p.name, c.last_day, c.revoked_at FROM platform p JOIN certificate c ON c.platform_id = p.id"""
_CODES: Final = """
SELECT count(*) FILTER (WHERE certificate_id IS NULL), count(*) FILTER (WHERE NOT enabled)
FROM code WHERE state <> 'returned'"""


def check_pilot(config: Config) -> list[Finding]:
    """The calendar, papers, and codes that stand aside."""
    calendar = config.pilot.rules.calendar
    if calendar is None:
        return [warn("pilot", UNRULED, f"set pilot.notice in {config.file} (the date of the notice)")]
    now = time.time()
    phase = calendar.phase(now)
    following = min((start for start, _ in calendar.starts if start > now), default=None)
    until = "" if following is None else f" until {datetime.fromtimestamp(following, BEIJING):%Y-%m-%d}"
    said = f"phase {phase}{until}, grace {config.pilot.grace_s} s"
    found = [ok("pilot", said)]
    if phase is Phase.ENDED:
        found = [
            fail("pilot", "the pilot is over: nothing is bound or connected", "check pilot.notice and spans")
        ]
    try:
        with psycopg.connect(dsn(config), connect_timeout=config.store.connect_timeout_s) as conn:
            return [*found, _papers(conn), *_codes(conn)]
    except psycopg.Error:
        return found  # the store has a check of its own


def _papers(conn: psycopg.Connection[Any]) -> Finding:
    rows = conn.execute(_PAPERS).fetchall()
    today: date = datetime.now(UTC).astimezone(BEIJING).date()
    gone = sorted({name for name, last, revoked in rows if revoked is not None or last < today})
    soon = sorted({name for name, last, revoked in rows if revoked is None and today <= last < today + _SOON})
    mend = "qibai approval renew / certificate renew, or let the platform go"
    if gone:
        return warn("papers", f"ended or revoked: {', '.join(gone)}", mend)
    if soon:
        return warn("papers", f"end within {_SOON.days} days: {', '.join(soon)}", mend)
    return ok("papers", f"{len(rows)}, all valid")


def _codes(conn: psycopg.Connection[Any]) -> list[Finding]:
    row = conn.execute(_CODES).fetchone()
    bare, aside = row or (0, 0)
    found = []
    if bare:
        found.append(
            warn("codes", f"{bare} under no certificate are not bound", "qibai code assign … --certificate …")
        )
    if aside:
        found.append(warn("codes", f"{aside} are set aside", "qibai code restore … once they work again"))
    return found
