"""Papers that end, codes that nothing is bound on, pools that run out."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from qibai.cli.doctor.finding import Finding, ok, skip, warn
from qibai.cli.times import shown
from qibai.config import Config
from qibai.core.errors import QibaiError
from qibai.core.numbering import PILOT_PROVINCES
from qibai.core.pilot import BEIJING
from qibai.store import dsn
from qibai.store.failures import DriverError
from qibai.store.hosts import connect
from qibai.store.pools import Pool
from qibai.store.watch import PaperEnd, Watched, watch_sync

_SOON: Final = timedelta(days=30)
_NAMES: Final = {province.code: province.name for province in PILOT_PROVINCES}


def check_watched(config: Config) -> list[Finding]:
    """Papers and codes where the pilot's rules are asked, pools everywhere."""
    try:
        with connect(dsn(config), connect_timeout_s=config.store.connect_timeout_s) as conn:
            found = watch_sync(conn, config.pools)
    except (DriverError, QibaiError):
        return [skip("pools", "needs the store")]
    ruled = config.pilot.rules.calendar is not None
    return [*([_papers(found.papers), *_codes(found)] if ruled else []), _pools(found.pools)]


def _papers(papers: list[PaperEnd]) -> Finding:
    today: date = datetime.now(UTC).astimezone(BEIJING).date()
    gone = [one for one in papers if one.revoked_at is not None or one.last_day < today]
    soon = [one for one in papers if one not in gone and one.last_day < today + _SOON]
    mend = "qibai approval renew / certificate renew, or let the platform go"
    if gone:
        return warn("papers", f"ended or revoked: {_each(gone)}", mend)
    if soon:
        return warn("papers", f"end within {_SOON.days} days: {_each(soon)}", mend)
    return ok("papers", f"{len(papers)}, all valid")


def _each(papers: list[PaperEnd]) -> str:
    return ", ".join(f"{one.kind} {one.number} of {one.platform} ({one.last_day})" for one in papers)


def _codes(found: Watched) -> list[Finding]:
    said = []
    if found.uncertified:
        mend = "qibai code assign … --certificate …"
        said.append(warn("codes", f"{found.uncertified} under no certificate are not bound", mend))
    if found.set_aside:
        mend = "qibai code restore … once they work again"
        said.append(warn("codes", f"{found.set_aside} are set aside", mend))
    if found.draining:
        mend = "qibai code return … once nothing is bound on them"
        said.append(warn("codes", f"{found.draining} are draining", mend))
    return said


def _pools(found: list[Pool]) -> Finding:
    if not found:
        return skip("pools", "not counted yet (qibai pools --count)")
    alerts = [one for one in found if one.alert is not None]
    if alerts:
        more = f" and {len(alerts) - 5} more" if len(alerts) > 5 else ""
        said = ", ".join(_pool(one) for one in alerts[:5])
        return warn("pools", f"near exhaustion: {said}{more}", "supplement codes, see: qibai pools")
    return ok("pools", f"numbers are free everywhere, counted at {shown(found[0].at)}")


def _pool(one: Pool) -> str:
    where = f" in {_NAMES.get(one.province, one.province)}" if one.province else ""
    until = f", until {shown(one.exhausted_at)}" if one.exhausted_at else ""
    return f"{one.tenant}{where} ({one.alert}: {one.free} of {one.total} free{until})"
