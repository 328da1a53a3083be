"""Whether the audit trail is whole, and its anchors reach where they have to."""

from qibai.cli.doctor.finding import Finding, fail, ok, skip
from qibai.config import Config
from qibai.core.errors import AuditBroken, KeyFileError, QibaiError
from qibai.store import dsn
from qibai.store.anchors import Witness
from qibai.store.audit_verify import verify
from qibai.store.dual import forged
from qibai.store.dual_rule import TWO, look
from qibai.store.failures import DriverError
from qibai.store.hosts import connect
from qibai.store.keycheck import check_key_file
from qibai.store.keys import Keyring
from qibai.store.sinks import states


def check_audit(config: Config) -> list[Finding]:
    """The whole trail, as `qibai audit verify` reads it, and each sink."""
    return [_trail(config), _approvals(config), _rule(config), *_sinks(config)]


def _trail(config: Config) -> Finding:
    try:
        keyring = Keyring.load(config.key_file)
        with connect(dsn(config), connect_timeout_s=config.store.connect_timeout_s) as conn:
            check_key_file(conn, config.key_file)
            end = verify(conn, keyring, witness=Witness.of(config, keyring))
    except AuditBroken as exc:
        return fail("audit trail", exc.message, "qibai audit verify; see docs/resources.md, The audit trail")
    except KeyFileError:
        return skip("audit trail", "needs the newest key file")
    except (DriverError, QibaiError):
        return skip("audit trail", "needs the store and its schema")
    return ok("audit trail", f"{end.seq} entries, whole and anchored")


def _approvals(config: Config) -> Finding:
    try:
        keyring = Keyring.load(config.key_file)
        with connect(dsn(config), connect_timeout_s=config.store.connect_timeout_s) as conn:
            check_key_file(conn, config.key_file)
            found = forged(conn, keyring)
    except KeyFileError:
        return skip("approvals", "needs the newest key file")
    except (DriverError, QibaiError):
        return skip("approvals", "needs the store, its schema and the key file")
    if found:
        says = f"approved in the database and not by a person, without effect: {', '.join(found[:5])}"
        return fail("approvals", says, "find out who can write to the database: the role of store.dsn leaked")
    return ok("approvals", "each was given by a person's key")


def _rule(config: Config) -> Finding:
    try:
        keyring = Keyring.load(config.key_file)
        with connect(dsn(config), connect_timeout_s=config.store.connect_timeout_s) as conn:
            persons, sound = look(conn, keyring)
    except (DriverError, QibaiError):
        return skip("two persons", "needs the store, its schema and the key file")
    if not sound:
        says = (
            "the rule in the database was not set by the platform, or is an old one; it counts as two persons"
        )
        mend = "qibai dual rule 2; find out who can write to the database: the role of store.dsn leaked"
        return fail("two persons", says, mend)
    return ok("two persons", "required" if persons >= TWO else "one person is enough: set by qibai dual rule")


def _sinks(config: Config) -> list[Finding]:
    known = states(config.home)
    found = []
    for name, target in (("syslog", config.audit.syslog), ("http", config.audit.http)):
        if not target:
            continue
        state = known.get(name)
        label = f"audit sink {name}"
        if state is None:
            found.append(ok(label, "no anchor was lost"))
        elif state.error:
            says = f"the last anchor did not reach it ({state.error}, {state.at:%Y-%m-%d %H:%M:%S} UTC)"
            found.append(fail(label, says, f"look at the server of audit.{name}"))
        else:
            found.append(ok(label, f"answers; {state.failures} tries failed before"))
    return found
