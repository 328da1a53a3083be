"""An old binding on its way into the store: its end, keys, sealed numbers, the 700 binding it wants."""

from datetime import UTC, datetime

from qibai.core.binding import Mode, Parties, Scene, expiry
from qibai.core.errors import PolicyRefused, QibaiError
from qibai.core.existing import OldMode, OldPair
from qibai.core.ids import new_id
from qibai.core.oldfile import OldLine
from qibai.core.pilot import Rule
from qibai.store.bindings import Binding, BindItem, policy_refused
from qibai.store.bindings.session import Epoch
from qibai.store.existing.keys import pair_key
from qibai.store.existing.model import Terms
from qibai.store.keys import Keyring, binding_aad


class OldDraft:
    """One line under way. ``home`` and ``id`` are the old binding's, its own or the one that was there."""

    __slots__ = (
        "ends_at",
        "error",
        "home",
        "id",
        "keys",
        "line",
        "new",
        "next_keys",
        "numbers",
        "pairs",
        "there",
    )

    def __init__(self, line: OldLine, ends_at: datetime) -> None:
        self.line, self.ends_at = line, ends_at
        self.pairs: list[OldPair] = list(line.parties.pairs)
        self.home, self.id = line.parties.x.code.value, new_id()
        self.there = False  #: it was taken over before
        self.new: Binding | None = None
        self.error: QibaiError | None = None
        self.keys: list[bytes] = []
        self.next_keys: list[bytes | None] = []
        self.numbers = b""

    @property
    def movable(self) -> bool:
        """Whether a 700 binding can take its place: one has two parties."""
        return self.line.parties.b is not None

    def blind(self, keyring: Keyring, epoch: Epoch) -> None:
        """Make the keys of its pairs under the keys of ``epoch``. Raise KeyUnknown."""
        self.keys = [pair_key(keyring, epoch.write, pair.dialled, pair.caller) for pair in self.pairs]
        if epoch.extra is None:
            self.next_keys = [None] * len(self.keys)
        elif epoch.extra == epoch.write:
            self.next_keys = list(self.keys)
        else:
            self.next_keys = [
                pair_key(keyring, epoch.extra, pair.dialled, pair.caller) for pair in self.pairs
            ]

    def seal(self, keyring: Keyring) -> None:
        """Encrypt its numbers."""
        self.numbers = keyring.seal(self.line.parties.packed, binding_aad(self.home, self.id))

    def item(self, terms: Terms) -> BindItem:
        """What is asked for: AXYB stays AXYB, all else becomes AXB."""
        line = self.line
        parties = line.parties
        assert parties.b is not None  # noqa: S101  # it is movable
        mode = Mode.AXYB if parties.mode is OldMode.AXYB else Mode.AXB
        return BindItem(
            parties=Parties(mode, parties.a, (), parties.b),
            scene=line.scene or terms.scene,
            order_id=line.order_id,
            expires_at=self.ends_at,
            max_call_s=self.max_call_s(terms),
            province=line.province or terms.province,
        )

    def max_call_s(self, terms: Terms) -> int:
        return min(self.line.max_call_s or terms.max_call_s, terms.most_call_s)

    def scene(self, terms: Terms) -> Scene:
        return self.line.scene or terms.scene


def draft(line: OldLine, terms: Terms, now: datetime) -> OldDraft:
    """Raise LifetimeWrong when it has ended or would live too long, PolicyRefused when AXN is off."""
    if line.parties.mode is OldMode.AXN and not terms.rules.existing_axn:
        raise axn_off()
    return OldDraft(line, end_of(line, terms, now))


def end_of(line: OldLine, terms: Terms, now: datetime) -> datetime:
    """When it ends. Raise LifetimeWrong."""
    end = line.expires_at
    if terms.shorten and end is not None:
        end = min(end, now + terms.longest)
    ends = expiry(
        now, ttl=None if end else terms.ttl, expires_at=end, default=terms.longest, maximum=terms.longest
    )
    return ends.astimezone(UTC)


def axn_off() -> PolicyRefused:
    """Numbers that anyone may dial are switched off."""
    return policy_refused(Rule.AXN_OFF)
