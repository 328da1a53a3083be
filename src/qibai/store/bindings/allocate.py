"""The item under way: drawing its numbers, sealing its parties, and what to do after a conflict."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from qibai.core.allocation import (
    BLIND_DRAWS,
    SAME_CODE_DRAWS,
    Sequence700,
    random_choice,
    random_serial,
    shuffled,
)
from qibai.core.entropy import Entropy
from qibai.core.errors import NumberTaken, PoolExhausted, QibaiError
from qibai.core.numbering import SERIALS_PER_CODE
from qibai.store.bindings.arrays import Blobs, Int2s
from qibai.store.bindings.codeset import CodeSet
from qibai.store.bindings.model import BindItem
from qibai.store.bindings.session import Epoch
from qibai.store.connection import Connection
from qibai.store.keys import Keyring, binding_aad
from qibai.store.statements import load

_SAMPLE: Final = 256  # serials tried before all of a code's are
_SQL: Final = load("bindings")


class Draft:
    """One item on its way to be bound: its place in the request, its numbers, keys and sealed parties."""

    __slots__ = (
        "blinded_by",
        "blobs",
        "code",
        "draws",
        "id",
        "item",
        "keys",
        "next_keys",
        "place",
        "ready",
        "sealed_for",
        "sequence",
        "x",
        "y",
    )

    def __init__(self, place: int, item: BindItem) -> None:
        self.place = place
        self.item = item
        self.draws = 0
        self.ready = False  # its numbers were found free by a search
        self.code = -1
        self.id = 0
        self.x = -1
        self.y: int | None = None
        self.blinded_by: Epoch | None = None
        #: Of each party, in the order of ``Parties.everyone``.
        self.keys: list[bytes] = []
        self.next_keys: list[bytes | None] = []
        self.blobs: list[bytes] = []
        self.sealed_for: tuple[int, int] | None = None
        self.sequence: Sequence700 | None = None

    @property
    def serials(self) -> tuple[int, ...]:
        """Of X, and of Y in the modes that have it, by ``core.pairs.Middle``."""
        return (self.x,) if self.y is None else (self.x, self.y)

    def blind(self, keyring: Keyring, epoch: Epoch, tenant_id: int) -> None:
        """Hash the parties under the keys of ``epoch``."""
        keys = [epoch.keys(keyring, party) for party in self.item.parties.everyone]
        self.keys = [key for key, _ in keys]
        self.next_keys = [following for _, following in keys]
        self.blinded_by = epoch
        if self.item.sticky:
            self.sequence = Sequence700.of(tenant_id, self.keys)

    def seal(self, keyring: Keyring, entropy: Entropy) -> None:
        """Encrypt the parties, unless that was done for the same code and id."""
        if self.sealed_for == (self.code, self.id):
            return
        aad = binding_aad(self.code, self.id)
        seal, take = keyring.seal, entropy.take
        self.blobs = [seal(party.e164, aad, take(12)) for party in self.item.parties.everyone]
        self.sealed_for = (self.code, self.id)


class Pool:
    """The open codes of a tenant, and the numbers drawn from them."""

    def __init__(self, codes: CodeSet) -> None:
        self.codes = codes
        self._free_for: dict[tuple[int, bytes], list[int]] = {}

    def check(self, item: BindItem) -> QibaiError | None:
        """What rules the item out before anything is drawn."""
        return self.codes.refusal(item)

    def locked(self, draft: Draft) -> bool:
        """Whether a number drawn is one that the operator has locked."""
        locked = self.codes.locked(draft.code)
        return bool(locked) and (draft.x in locked or (draft.y is not None and draft.y in locked))

    def _codes(self, item: BindItem) -> list[int]:
        if item.expected is not None:
            return [item.expected.code.value]
        return self.codes.all if item.province is None else self.codes.by_province[item.province]

    def draw(self, draft: Draft, batch: dict[str | None, int], entropy: Entropy) -> None:
        """Draw the numbers of one more try; ``batch`` holds the codes that this batch draws from."""
        if draft.ready:
            draft.ready = False
            return
        item, sequence = draft.item, draft.sequence
        codes = self._codes(item)
        if sequence is not None:
            same = draft.draws < SAME_CODE_DRAWS or len(codes) == 1
            code = (
                sequence.first_code(codes)
                if same
                else sequence.ranked(codes)[(draft.draws - SAME_CODE_DRAWS + 1) % len(codes)]
            )
        elif item.expected is not None:
            code = codes[0]
        elif draft.draws < SAME_CODE_DRAWS:
            found = batch.get(item.province)
            code = batch[item.province] = random_choice(codes) if found is None else found
        else:
            code = random_choice(codes)
        draft.code = code
        draft.y = None
        if item.expected is not None:
            draft.x = item.expected.serial
        else:
            draft.x = sequence.serial(draft.draws) if sequence else random_serial(entropy)
        if item.parties.mode.has_y:
            draft.y = (
                sequence.serial(draft.draws, y=True, but=draft.x)
                if sequence
                else random_serial(entropy, draft.x)
            )
        draft.draws += 1

    async def search(self, conn: Connection, draft: Draft, now: datetime | None) -> QibaiError | None:
        """Choose numbers that are free just now; return the error when there are none."""
        item, sequence = draft.item, draft.sequence
        has_y = item.parties.mode.has_y
        codes = self._codes(item)
        for code in sequence.ranked(codes) if sequence else shuffled(codes):
            free: list[int] = []
            if sequence is None and item.expected is None:
                entropy = Entropy()
                sample = [random_serial(entropy) for _ in range(_SAMPLE)]
                free = await _free(conn, code, draft.keys, sorted(set(sample)), now)
            locked = self.codes.locked(code)
            free = [serial for serial in free if serial not in locked]
            if len(free) < 1 + has_y:
                free = await self._all_free(conn, code, draft.keys, now)
                free = [serial for serial in free if serial not in locked]
            if item.expected is not None:
                if item.expected.serial not in free:
                    return NumberTaken(field="x")
                x = item.expected.serial
            elif len(free) < 1 + has_y:
                continue
            else:
                x = sequence.pick(free) if sequence else random_choice(free)
            draft.code, draft.x, draft.y = code, x, None
            if has_y:
                rest = [serial for serial in free if serial != x]
                if not rest:
                    continue
                draft.y = sequence.pick(rest, y=True) if sequence else random_choice(rest)
            draft.ready = True
            return None
        return PoolExhausted()

    async def _all_free(
        self, conn: Connection, code: int, keys: Sequence[bytes], now: datetime | None
    ) -> list[int]:
        """All serials of ``code`` that are free for ``keys``; the first key's are kept for its next item."""
        first, *others = keys
        found = self._free_for.get((code, first))
        if found is None:
            found = await _free(conn, code, [first], range(SERIALS_PER_CODE), now)
            self._free_for[code, first] = found
        return await _free(conn, code, others, found, now) if found else []

    def forget(self) -> None:
        """Forget what searches have found: time has passed."""
        self._free_for.clear()

    async def after_conflict(self, conn: Connection, draft: Draft, now: datetime | None) -> QibaiError | None:
        """Whether the item may be tried again: None, or the error that is its answer."""
        if draft.item.expected is not None and not draft.item.parties.mode.has_y:
            return NumberTaken(field="x")
        if draft.draws >= BLIND_DRAWS:
            return await self.search(conn, draft, now)
        return None


async def _free(
    conn: Connection, code: int, keys: Sequence[bytes], serials: Sequence[int], now: datetime | None
) -> list[int]:
    params = {"now": now, "code": code, "keys": Blobs.of_blobs(keys), "serials": Int2s.of(serials)}
    cur = await conn.execute(_SQL["free_serials"], params, prepare=True, binary=True)
    return [row[0] for row in await cur.fetchall()]
