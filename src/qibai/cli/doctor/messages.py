"""How the gateway for text messages and its links are doing."""

import time

from qibai.cli.doctor.finding import Finding, fail, ok, skip, warn
from qibai.cli.links import STALE_S, read_stats
from qibai.config import Config
from qibai.core.losses import LOSSES
from qibai.messaging.link import LinkState
from qibai.store import dsn
from qibai.store.failures import DriverError
from qibai.store.hosts import connect
from qibai.store.messages import silent_nodes

_MUCH_JOURNAL = 1 << 20


def check_messages(config: Config) -> list[Finding]:
    """The gateway, then each of its links that is not up."""
    if not config.messaging.enabled:
        return [skip("gateway", "switched off (messaging.enabled)")]
    return [*_gateway(config), *_silent_nodes(config)]


def _silent_nodes(config: Config) -> list[Finding]:
    """Other nodes' messages that nobody sends."""
    try:
        with connect(dsn(config), connect_timeout_s=config.store.connect_timeout_s) as conn:
            silent = silent_nodes(conn)
    except DriverError:
        return [skip("nodes", "could not be checked: the store does not answer in time")]
    found = []
    for one in silent:
        since = "was never seen" if one.silent_s is None else f"is silent for {one.silent_s:.0f} s"
        says = (
            f"its gateway {since} and holds {one.held} messages: {one.to_send} to send, {one.to_hear_of} that"
            f" wait for receipts, {one.to_report} whose results have to be reported; the oldest of"
            f" {one.oldest.astimezone():%Y-%m-%d %H:%M:%S %z}"
        )
        here = one.node == config.node
        mend = "start it" if here else f"start it; if it does not come back: qibai take-over {one.node}"
        found.append(fail(f"node {one.node}", says, mend))
    return found


def _gateway(config: Config) -> list[Finding]:
    said = read_stats(config)
    if said is None:
        return [skip("gateway", "no gateway has run here yet")]
    age = time.time() - said.at
    if age > STALE_S:
        mend = "qibai up, or systemctl start qibai-gateway"
        return [fail("gateway", f"silent for {age:.0f} s: no text message comes or goes", mend)]
    if not said.store_up:
        found = [
            fail("gateway", "the store does not answer it: senders are asked to try later", "mend the store")
        ]
    elif said.journal_damaged:
        found = [
            warn("gateway", f"{said.journal_damaged} lines of its journal cannot be read", "see its log")
        ]
    elif said.journal_bytes > _MUCH_JOURNAL:
        found = [warn("gateway", f"{said.journal_bytes} bytes of its journal wait", "see its log")]
    else:
        found = [ok("gateway", f"{said.held} messages under way, {len(said.links)} links")]
    for name, count in said.losses.items():
        if count and name in LOSSES and name != "journal_damaged":
            loss = LOSSES[name]
            found.append(warn("text messages", f"{count} since the gateway began: {loss.says}", loss.mend))
    for made in config.messaging.links:
        if not made.verify:
            mend = "set verify = true as soon as the gateway fills AuthenticatorISMG"
            says = "its peer does not prove who it is (verify = false)"
            found.append(warn(f"link {made.name}", says, mend))
    for link in said.links:
        if link.state is LinkState.UP:
            found.append(
                ok(f"link {link.name}", f"{link.protocol}, {link.sessions} sessions with {link.peer}")
            )
        else:
            why = f": {link.error}" if link.error else ""
            mend = (
                "see that the peer answers, then account, password file and addresses in [[messaging.links]]"
            )
            found.append(fail(f"link {link.name}", f"{link.protocol}, {link.state}{why}", mend))
    return found
