"""Whether the parts run with what the configuration says now."""

from qibai.cli.doctor.finding import Finding, ok, warn
from qibai.config import Config
from qibai.settings.running import advice, differences


def check_running(config: Config) -> Finding:
    """A changed file is taken over by ``qibai reload``, or by a restart where a key needs one."""
    found = differences(config)
    if found:
        said = "; ".join(f"{part}: {', '.join(keys)}" for part, keys in found.items())
        return warn("configuration", f"changed since the start, not taken over by {said}", advice(found))
    return ok("configuration", "the running parts use it")
