"""Calls to old numbers: one read finds the pair, and the 700 binding that it has become."""

import struct
from typing import Final, ParamSpec

from qibai.core.existing import ExistingNumber, OldParties
from qibai.core.numbering import Msisdn
from qibai.core.routing import RouteRecord
from qibai.store.connect import Session
from qibai.store.crypto import binding_aad
from qibai.store.existing.keys import after, number_key, pair_key
from qibai.store.hash_phase import keys_in_use
from qibai.store.keys import Keyring
from qibai.store.pgtime import from_pg, to_pg
from qibai.store.statements import load

P = ParamSpec("P")

_CODE: Final = struct.Struct(">i")
_ID: Final = struct.Struct(">q")

_SQL: Final = load("existing")
_ROTATION: Final = b"SELECT phase, current_id, coalesce(next_id, 0) FROM hash_rotation"


class ExistingReader:
    """The part of a ``RouteReader`` that answers for old numbers; raises as that does."""

    def __init__(self, session: Session, keyring: Keyring) -> None:
        self._session, self._keyring = session, keyring

    def find(self, called: ExistingNumber, caller: Msisdn) -> RouteRecord | None:
        """The pair's record, or anyone's on that number, or None; nobody reaches themselves."""
        asked = [id for id in self._keyring.hash_ids if id is not None]
        while True:
            record = self._find(called, caller, asked)
            if record is not None and record.ends_at:
                return record
            # Make sure that it, and what it has become, was looked for under the keys that rows have now.
            wanted = self._rotation_keys()
            if set(asked) >= set(wanted):
                return record
            self._keyring.reload_if_changed()
            asked = wanted

    def in_use(self, called: ExistingNumber, now: float | None) -> bool:
        """Whether anybody has a live binding on it at Unix time ``now``; None: by the store's clock."""
        instant = None if now is None else _ID.pack(to_pg(now))
        for id in self._rotation_keys():
            prefix = number_key(self._keyring, id, called)
            params = [_CODE.pack(called.code.value), prefix, after(prefix), instant]
            if self._session.query(b"existing_in_use", _SQL["in_use"], params).ntuples:
                return True
        return False

    def _find(self, called: ExistingNumber, caller: Msisdn, key_ids: list[int]) -> RouteRecord | None:
        keyring = self._keyring
        first, last = key_ids[0], key_ids[-1]
        keys = [pair_key(self._keyring, id, called, who) for id in (first, last) for who in (caller, None)]
        party = [self._keyring.blind_by(id, caller) for id in (first, last)]
        params = [_CODE.pack(called.code.value), *keys, *party]
        found = self._session.query(b"find_existing", _SQL["find"], params)
        if not found.ntuples:
            return None
        value = found.get_value
        anyone = value(0, 2) == b"\x01"
        home, id = _int(value(0, 3)), _int(value(0, 4))
        aad = binding_aad(home, id)
        old = OldParties.unpack(keyring.open(value(0, 6) or b"", aad))
        pair = old.pairs[_int(value(0, 7))]
        ends, callee, by = value(0, 5), None, None
        if value(0, 9) is not None:
            ends = value(0, 10)
            if ends is not None and value(0, 11) is not None:
                home, id = _int(value(0, 8)), _int(value(0, 9))
                aad, callee, by = binding_aad(home, id), value(0, 11), value(0, 12)
            else:  # over, whatever the old binding says: that one is all that is known of it
                ends = None
        if anyone and (pair.callee.e164 if callee is None else keyring.open(callee, aad)) == caller.e164:
            return None
        return RouteRecord(
            called=called,
            binding_id=id,
            tenant_id=_int(value(0, 0)),
            shown=pair.shown,
            callee_sealed=keyring.seal(pair.callee.e164, aad) if callee is None else callee,
            caller_sealed=keyring.seal(caller.e164, aad) if by is None else by,
            ends_at=0.0 if ends is None else from_pg(_int(ends)),
            max_call_s=_int(value(0, 1)),
            to_group=False,
            from_group=False,
            standing=_int(value(0, 13)),
            home=home,
            anyone=anyone,
            read_at=from_pg(_int(value(0, 14))),
        )

    def _rotation_keys(self) -> list[int]:
        """The ids of the hash keys under which rows may stand just now: one or two."""
        found = self._session.query(b"rotation", _ROTATION, [])
        phase, current, following = (_int(found.get_value(0, i)) for i in range(3))
        return keys_in_use(phase, current, following)


def _int(value: bytes | None) -> int:
    return int.from_bytes(value or b"", signed=True)
