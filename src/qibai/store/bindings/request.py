"""One call of the database's ``bind_many``: drafts in, arrays out."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from qibai.core.binding import Messages, Scene
from qibai.core.entropy import Entropy
from qibai.core.ids import NOISE_BITS, new_id
from qibai.core.pairs import forbidden, occupied
from qibai.store.bindings.allocate import Draft, Pool
from qibai.store.bindings.arrays import Blobs, Instants, Int2s, Int4s, Int8s, PgArray, Texts, literal
from qibai.store.bindings.session import Epoch
from qibai.store.keys import Keyring
from qibai.store.routes import flags_of

_REDRAWS: Final = 20  # within one batch, until a clashing item waits for the next one
_SCENES: Final = {scene: scene.value for scene in Scene}
_MESSAGES: Final = {messages: messages.value for messages in Messages}


class Batch:
    """Drafts that go into one call and do not clash with each other; ``later`` are those that would."""

    def __init__(self, epoch: Epoch, pool: Pool) -> None:
        self.epoch = epoch
        self.drafts: list[Draft] = []
        self.later: list[Draft] = []
        self.blocked: list[Draft] = []  #: drew nothing but locked numbers
        self._pool = pool
        self._entropy = Entropy()
        self._codes: dict[str | None, int] = {}
        self._pairs: set[tuple[int, int, bytes]] = set()
        self._ids: set[int] = set()
        self._idempotency: set[bytes] = set()

    def add(self, draft: Draft, keyring: Keyring) -> None:
        """Draw numbers and seal, or put the draft off: at most one of a batch may use a pair or a key."""
        idempotency = draft.item.idempotency
        if idempotency is not None and idempotency.key in self._idempotency:
            self.later.append(draft)
            return
        for left in range(_REDRAWS - 1, -1, -1):
            searched = draft.ready
            self._pool.draw(draft, self._codes, self._entropy)
            if self._pool.locked(draft):
                if not left:
                    self.blocked.append(draft)
                    return
                continue
            if self._claim(draft):
                break
            if searched or draft.item.expected is not None:
                self.later.append(draft)
                return
        else:
            self.later.append(draft)
            return
        if idempotency is not None:
            self._idempotency.add(idempotency.key)
        if not draft.id:
            draft.id = self._new_id()
        self._ids.add(draft.id)
        draft.seal(keyring, self._entropy)
        self.drafts.append(draft)

    def _claim(self, draft: Draft) -> bool:
        code, x, y = draft.code, draft.x, draft.y
        pairs = {(code, x, key) for key in draft.keys}
        if y is not None:
            pairs |= {(code, y, key) for key in draft.keys}
        if not self._pairs.isdisjoint(pairs):
            return False
        self._pairs |= pairs
        return True

    def _new_id(self) -> int:
        while True:
            id = new_id(noise=self._entropy.below(1 << NOISE_BITS))
            if id not in self._ids:
                return id

    @property
    def version(self) -> int | None:
        """Of the rights by which the numbers were drawn."""
        return self._pool.codes.version

    @property
    def counted(self) -> bool:
        """Whether quotas count these."""
        return self._pool.codes.quotas

    def parameters(self, tenant_id: int, now: datetime | None, quarantine: timedelta) -> dict[str, Any]:
        """What the statement ``bind_many`` takes."""
        codes = self._pool.codes
        return {
            "now": now,
            "quarantine": quarantine,
            "tenant": tenant_id,
            "version": codes.version,
            "until": codes.until if now is None else None,
            "counted": codes.quotas,
            "write": self.epoch.write,
            "extra": self.epoch.extra,
            **_bindings(self.drafts),
            **_routes(self.drafts),
            **_checks(self.drafts),
            **_idempotency(self.drafts),
        }


def counted(drafts: Sequence[Draft]) -> dict[str, PgArray]:
    """What quotas look at."""
    items = [draft.item for draft in drafts]
    return {
        "p_scene": Texts.of_strings([_SCENES[item.scene] for item in items]),
        "p_province": Texts.of_strings([item.province for item in items]),
        "p_expires": Instants.of_times([item.expires_at for item in items]),
    }


def _bindings(drafts: Sequence[Draft]) -> dict[str, PgArray]:
    items = [draft.item for draft in drafts]
    group = [item.parties.mode.is_group for item in items]
    return {
        "p_code": Int4s.of([draft.code for draft in drafts]),
        "p_id": Int8s.of([draft.id for draft in drafts]),
        "p_mode": Texts.of_strings([item.parties.mode.value for item in items]),
        "p_scene": Texts.of_strings([_SCENES[item.scene] for item in items]),
        "p_order": Texts.of_strings([item.order_id for item in items]),
        "p_industrial": Texts.of_strings([item.industrial_id for item in items]),
        "p_province": Texts.of_strings([item.province for item in items]),
        "p_x": Int2s.of([draft.x for draft in drafts]),
        "p_y": Int2s.of_optional([draft.y for draft in drafts]),
        "p_a": Blobs.of_blobs(
            [None if many else draft.blobs[0] for draft, many in zip(drafts, group, strict=True)]
        ),
        "p_b": Blobs.of_blobs([draft.blobs[-1] for draft in drafts]),
        "p_members": Texts.of_strings(
            [literal(draft.blobs[:-1]) if many else None for draft, many in zip(drafts, group, strict=True)]
        ),
        "p_max_call": Int4s.of([item.max_call_s for item in items]),
        "p_messages": Texts.of_strings([_MESSAGES[item.messages] for item in items]),
        "p_expires": Instants.of_times([item.expires_at for item in items]),
    }


def _routes(drafts: Sequence[Draft]) -> dict[str, PgArray]:
    rows: list[tuple[Any, ...]] = []
    for draft in drafts:
        item = draft.item
        code, serials, id = draft.code, draft.serials, draft.id
        keys, following, blobs = draft.keys, draft.next_keys, draft.blobs
        max_call, expires = item.max_call_s, item.expires_at
        for pair in occupied(item.parties.mode, len(keys)):
            caller = pair.caller
            number = (code, serials[pair.dialled], keys[caller], following[caller], id, serials[pair.shown])
            flags = flags_of(pair, item.messages)
            rows.append((*number, flags, max_call, expires, blobs[pair.callee], blobs[caller]))
    rows.sort(key=lambda row: row[:3])
    codes, dialled, caller_keys, next_keys, ids, shown, all_flags, lengths, ends, callees, callers = zip(
        *rows, strict=True
    )
    return {
        "r_code": Int4s.of(codes),
        "r_serial": Int2s.of(dialled),
        "r_key": Blobs.of_blobs(caller_keys),
        "r_next": Blobs.of_blobs(next_keys),
        "r_id": Int8s.of(ids),
        "r_shown": Int2s.of(shown),
        "r_flags": Int2s.of(all_flags),
        "r_max_call": Int4s.of(lengths),
        "r_expires": Instants.of_times(ends),
        "r_callee": Blobs.of_blobs(callees),
        "r_caller": Blobs.of_blobs(callers),
    }


def _checks(drafts: Sequence[Draft]) -> dict[str, PgArray]:
    rows = [
        (draft.code, draft.serials[number], draft.keys[party], draft.id)
        for draft in drafts
        for number, party in forbidden(draft.item.parties.mode, len(draft.keys))
    ]
    return {
        "c_code": Int4s.of([row[0] for row in rows]),
        "c_serial": Int2s.of([row[1] for row in rows]),
        "c_key": Blobs.of_blobs([row[2] for row in rows]),
        "c_id": Int8s.of([row[3] for row in rows]),
    }


def _idempotency(drafts: Sequence[Draft]) -> dict[str, PgArray]:
    rows = [
        (draft.item.idempotency.key, draft.item.idempotency.request, draft.code, draft.id)
        for draft in drafts
        if draft.item.idempotency is not None
    ]
    rows.sort()
    return {
        "i_key": Blobs.of_blobs([row[0] for row in rows]),
        "i_request": Blobs.of_blobs([row[1] for row in rows]),
        "i_code": Int4s.of([row[2] for row in rows]),
        "i_id": Int8s.of([row[3] for row in rows]),
    }
