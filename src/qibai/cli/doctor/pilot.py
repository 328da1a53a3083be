"""Whether the pilot's rules are asked, and where the pilot stands."""

import time
from datetime import datetime

from qibai.cli.doctor.finding import Finding, fail, ok, warn
from qibai.config import UNRULED, Config
from qibai.core.pilot import BEIJING, Phase


def check_pilot(config: Config) -> Finding:
    """The calendar."""
    calendar = config.pilot.rules.calendar
    if calendar is None:
        return warn("pilot", UNRULED, f"set pilot.notice in {config.file} (the date of the notice)")
    now = time.time()
    phase = calendar.phase(now)
    if phase is Phase.ENDED:
        return fail(
            "pilot", "the pilot is over: nothing is bound or connected", "check pilot.notice and spans"
        )
    following = min((start for start, _ in calendar.starts if start > now), default=None)
    until = "" if following is None else f" until {datetime.fromtimestamp(following, BEIJING):%Y-%m-%d}"
    return ok("pilot", f"phase {phase}{until}, grace {config.pilot.grace_s} s")
