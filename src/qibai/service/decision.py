"""The one decision: where a call or message goes, by the store's record of now and by the rights of the code.

Voice, text messages, the API's translations and ``qibai route`` decide here and nowhere else.
"""

from typing import NamedTuple

from qibai.config import Config
from qibai.core.existing import Dialled
from qibai.core.numbering import Msisdn
from qibai.core.pilot import Rule
from qibai.core.routing import Decision, Look, RouteRecord, decide
from qibai.store import dsn, read_dsn
from qibai.store.keys import Keyring
from qibai.store.routes import RouteReader


class Decided(NamedTuple):
    """A decision, and the pair's record, live or in quarantine, where the store has one."""

    decision: Decision
    record: RouteRecord | None = None


class Explained(NamedTuple):
    """A decision and what led to it; ``rule`` forbids the call, whether or not the binding is over."""

    decision: Decision
    look: Look
    rule: Rule | None


class Decider:
    """Decides on a database session of its own: one a process, not shared between threads.

    Every method raises StoreUnavailable as ``RouteReader`` does. ``routes`` does what a decision leads to.
    """

    def __init__(self, config: Config, keyring: Keyring, *, timeout_ms: int | None = None) -> None:
        """``timeout_ms``: how long a statement may take, if not ``store.statement_timeout_ms``."""
        self.routes = RouteReader(
            read_dsn(config),
            keyring,
            config.store.statement_timeout_ms if timeout_ms is None else timeout_ms,
            write_dsn=dsn(config),
        )
        self._policy = self.routes.policy(config.pilot.rules)

    def decide(self, called: Dialled | None, caller: Msisdn | None) -> Decided:
        """Look the pair up and decide; a number that could not be read is None."""
        if called is None or caller is None:
            return Decided(decide(called, caller, None, 0.0))
        look = self.routes.look(called, caller)
        return Decided(self.decide_by(look, called, caller), look.record)

    def explain(self, called: Dialled, caller: Msisdn) -> Explained:
        """``decide``, with its grounds."""
        look = self.routes.look(called, caller)
        rule = None if look.record is None else self._policy.rule(look.record, look.at)
        return Explained(self.decide_by(look, called, caller), look, rule)

    def decide_by(self, look: Look, called: Dialled, caller: Msisdn) -> Decision:
        """Decide by what was looked up elsewhere."""
        return look.decide(called, caller, self._policy)

    def knows(self, look: Look) -> bool:
        """Returns True if ``decide_by`` has the rights in memory, so that it waits for nothing."""
        return look.record is None or self._policy.knows(look.record)

    def close(self) -> None:
        """Close the session."""
        self.routes.close()
