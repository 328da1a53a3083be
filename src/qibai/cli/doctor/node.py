"""Does another node give its calls ids out of the same range?"""

from qibai.cli.doctor.finding import Finding, ok, skip, warn
from qibai.config import Config
from qibai.store import dsn
from qibai.store.calls import node_with_number
from qibai.store.failures import DriverError
from qibai.store.hosts import connect


def check_node(config: Config) -> Finding:
    """By the calls of the last hour."""
    number = config.node_number
    try:
        with connect(dsn(config), connect_timeout_s=config.store.connect_timeout_s) as conn:
            other = node_with_number(conn, number, but=config.node)
    except DriverError:
        return skip("node", "could not be checked: the store does not answer in time")
    if other is not None:
        return warn(
            "node",
            f"{config.node} and {other} both have the number {number}: two calls could get one record",
            "give each node its own voice.node_number, and restart",
        )
    return ok("node", f"{config.node}, number {number}")
