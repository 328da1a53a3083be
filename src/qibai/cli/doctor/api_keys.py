"""Whether the platform made every API key that stands in the database."""

from qibai.cli.doctor.finding import Finding, fail, ok, skip
from qibai.config import Config
from qibai.core.errors import KeyFileError, QibaiError
from qibai.store import dsn
from qibai.store.failures import DriverError
from qibai.store.hosts import connect
from qibai.store.keycheck import check_key_file
from qibai.store.keys import Keyring
from qibai.store.tenants import not_genuine


def check_api_keys(config: Config) -> Finding:
    """A key that SQL wrote or changed lets nobody in; that it is there means that somebody tried."""
    try:
        keyring = Keyring.load(config.key_file)
        with connect(dsn(config), connect_timeout_s=config.store.connect_timeout_s) as conn:
            check_key_file(conn, config.key_file)
            found = not_genuine(conn, keyring)
    except KeyFileError:
        return skip("API keys", "needs the newest key file")
    except (DriverError, QibaiError):
        return skip("API keys", "needs the store, its schema and the key file")
    if found:
        named = ", ".join(f"{key.id} ({key.kind} {key.holder})" for key in found)
        return fail(
            "API keys",
            f"not made by the platform, so they are refused: {named}",
            "find out who can write to the database; then qibai access revoke ID for each",
        )
    return ok("API keys", "all were made by the platform")
