"""Whether other users can read secrets that the configuration names."""

from qibai.cli.doctor.finding import Finding, ok, warn
from qibai.config import Config
from qibai.settings.files import open_secrets


def check_secrets(config: Config) -> Finding:
    """Private keys of certificates, and links' password files."""
    found = [str(path) for path in open_secrets(config)]
    if found:
        return warn("secrets", f"other users can read {', '.join(found)}", f"chmod 600 {' '.join(found)}")
    return ok("secrets", "private keys and password files are closed to other users")
