"""What could not be kept of calls."""

import time
from datetime import UTC, datetime
from typing import Final

from qibai.cli.doctor.finding import Finding, fail, ok, warn
from qibai.cli.times import shown
from qibai.config import Config
from qibai.core.losses import CALL_LOSSES
from qibai.store.loss_counts import read_losses

_RECENT_S: Final = 86_400


def check_call_losses(config: Config) -> list[Finding]:
    """A finding for each loss of the last day; older losses are named, and need nothing."""
    found, older = [], 0
    for name, (count, at) in read_losses(config.run_dir).items():
        if not count or CALL_LOSSES[name].usual:
            continue
        if time.time() - at > _RECENT_S:
            older += count
            continue
        loss = CALL_LOSSES[name]
        last = shown(datetime.fromtimestamp(at, UTC))
        find = warn if loss.mild else fail
        found.append(find("call records", f"{count}, the last at {last}: {loss.says}", loss.mend))
    if found:
        return found
    return [ok("call records", f"nothing lost in a day, {older} before" if older else "nothing lost")]
