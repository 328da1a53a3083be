"""Routing reads: one indexed read in binary, aimed straight at the code's partition; see ``RouteReader``."""

import struct
import time
from typing import Final

from qibai.core.binding import Messages
from qibai.core.existing import Dialled, ExistingNumber
from qibai.core.numbering import Msisdn, Number700
from qibai.core.pairs import Group, Pair
from qibai.core.pilot import Rules
from qibai.core.routing import Look, RouteRecord
from qibai.store.connect import Session
from qibai.store.crypto import binding_aad, sealed_key_id
from qibai.store.existing.reader import ExistingReader
from qibai.store.hash_phase import keys_in_use
from qibai.store.keys import Keyring
from qibai.store.pgtime import from_pg, to_pg
from qibai.store.standing import CallPolicy
from qibai.store.statements import load

TO_GROUP: Final = 1  # route.flags: B calls the group
FROM_GROUP: Final = 2  # a member calls B
NO_MESSAGES: Final = 8  # the caller may call, but not write
_GROUP: Final = {Group.NONE: 0, Group.FROM: FROM_GROUP, Group.TO: TO_GROUP}

_CODE: Final = struct.Struct(">i")
_SERIAL: Final = struct.Struct(">h")
_ID: Final = struct.Struct(">q")
_MAX_CACHED_CODES: Final = 100_000

_SQL: Final = load("routes")


def flags_of(pair: Pair, messages: Messages) -> int:
    """What ``route.flags`` says of a pair."""
    return _GROUP[pair.group] | (0 if pair.may_write(messages) else NO_MESSAGES)


class _Partition:
    """The statements for one partition; ``name``: route_p00 … route_p15."""

    def __init__(self, name: str) -> None:
        part = name.encode()
        self.find, self.find_two, self.in_use = (
            (f"{look}_{name}".encode(), _SQL[look].replace(b"{part}", part))
            for look in ("find", "find_two", "in_use")
        )


_PARTITIONS: Final = tuple(_Partition(f"route_p{i:02d}") for i in range(16))


class RouteReader:
    """What the store holds of a (called, caller) pair. One per worker process; not shared between threads.

    Every method raises StoreUnavailable within a second when the database does not answer, and at once during
    the second after that. A reader outlives restarts of the database and rotations of keys.
    """

    def __init__(
        self, dsn: str, keyring: Keyring, statement_timeout_ms: int = 200, *, write_dsn: str | None = None
    ) -> None:
        """``dsn`` may lead to a hot standby; then ``write_dsn`` is the primary's, for ``touch_group``."""
        self._keyring = keyring
        self._session = Session(dsn, statement_timeout_ms, "qibai-routes")
        apart = write_dsn is not None and write_dsn != dsn
        self._writer = (
            Session(write_dsn, statement_timeout_ms, "qibai-routes-write")
            if apart and write_dsn
            else self._session
        )
        self._parts: dict[int, _Partition] = {}
        self._existing = ExistingReader(self._session, keyring)

    def find(self, called: Dialled, caller: Msisdn) -> RouteRecord | None:
        """The pair's record, live or in quarantine, or None; free rows not yet tidied away come back too."""
        keyring = self._keyring
        if isinstance(called, ExistingNumber):
            return self._existing.find(called, caller)
        record = self._find(called, keyring.blind(caller), keyring.blind_next(caller))
        return record if record is not None else self._find_again(called, caller)

    def look(self, called: Dialled, caller: Msisdn) -> Look:
        """The pair's record; where there is none, whether anybody is bound on ``called``."""
        record = self.find(called, caller)
        if record is not None:
            return Look(record, False, record.read_at)
        return Look(None, self.number_in_use(called), time.time())

    def number_in_use(self, called: Dialled, now: float | None = None) -> bool:
        """Whether anybody has a live binding on ``called`` at Unix time ``now``, or at the store's."""
        if isinstance(called, ExistingNumber):
            return self._existing.in_use(called, now)
        name, statement = self._part(called.code.value).in_use
        instant = None if now is None else _ID.pack(to_pg(now))
        found = self._session.query(name, statement, [*_number(called), instant])
        return found.ntuples > 0

    def call_ended(self, code: int, call_id: int) -> bool:
        """Returns True if the record of a call says that it is over. Raise StoreUnavailable."""
        found = self._session.query(b"call_ended", _SQL["call_ended"], [_CODE.pack(code), _ID.pack(call_id)])
        return found.ntuples > 0

    def touch_group(self, record: RouteRecord) -> None:
        """A member of a group has called B: from now on B's calls to the group reach that member.

        Does nothing for a record of another kind, nor when the member has left or the binding is over since
        ``record`` was found. Goes to the primary.
        """
        called, shown = record.called, record.shown
        if not record.from_group or isinstance(called, ExistingNumber) or isinstance(shown, ExistingNumber):
            return
        keyring = self._keyring
        code, id = called.code.value, record.binding_id
        aad = binding_aad(code, id)
        callee = record.caller_sealed
        member, b = keyring.open(callee, aad), self.open_callee(record)
        if sealed_key_id(callee) != keyring.value_id:  # under rotation: bring no old key back
            callee = keyring.seal(member, aad)
        wanted = self._rotation_keys(self._writer)
        members, bs = self._blind(wanted, Msisdn(member)), self._blind(wanted, b)
        near = [_SERIAL.pack(called.serial), members[0], members[-1]]
        far = [_SERIAL.pack(shown.serial), bs[0], bs[-1]]
        params = [_CODE.pack(code), _ID.pack(id), *near, *far, callee]
        self._writer.query(b"touch_group", _SQL["touch_group"], params)

    def open_callee(self, record: RouteRecord) -> Msisdn:
        """The real number to connect to. Raise SealBroken when the key file is not this database's."""
        aad = binding_aad(record.code, record.binding_id)
        return Msisdn(self._keyring.open(record.callee_sealed, aad))

    def policy(self, rules: Rules) -> CallPolicy:
        """The pilot's rules for what ``find`` finds, on the same connection: for ``decide``."""
        return CallPolicy(self._session, rules)

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()
        self._writer.close()

    def _find(self, called: Number700, key: bytes, other: bytes | None) -> RouteRecord | None:
        part = self._part(called.code.value)
        if other is None:
            found = self._session.query(*part.find, [*_number(called), key])
        else:
            found = self._session.query(*part.find_two, [*_number(called), key, other])
        if found.ntuples == 0:
            return None
        value, number = found.get_value, int.from_bytes
        flags = number(value(0, 3) or b"")
        ends_at = number(value(0, 5) or b"", signed=True)
        read_at = number(value(0, 9) or b"", signed=True)
        return RouteRecord(
            called=called,
            binding_id=number(value(0, 0) or b""),
            tenant_id=number(value(0, 1) or b""),
            shown=Number700(called.code, number(value(0, 2) or b"")),
            callee_sealed=value(0, 6) or b"",
            caller_sealed=value(0, 7) or b"",
            ends_at=from_pg(ends_at),
            max_call_s=number(value(0, 4) or b""),
            to_group=bool(flags & TO_GROUP),
            from_group=bool(flags & FROM_GROUP),
            standing=number(value(0, 8) or b""),
            no_messages=bool(flags & NO_MESSAGES),
            read_at=from_pg(read_at),
        )

    def _find_again(self, called: Number700, caller: Msisdn) -> RouteRecord | None:
        """Nothing was found: make sure that it was looked for under the keys that rows have now."""
        keyring = self._keyring
        asked = set(keyring.hash_ids)
        while True:
            wanted = self._rotation_keys(self._session)
            if asked >= set(wanted):
                return None
            keys = self._blind(wanted, caller)
            keyring.reload_if_changed()
            record = self._find(called, keys[0], keys[1] if len(keys) > 1 else None)
            if record is not None:
                return record
            asked = set(wanted)

    def _rotation_keys(self, session: Session) -> list[int]:
        """The ids of the hash keys under which rows may stand in ``caller_key`` just now: one or two."""
        found = session.query(b"rotation", _SQL["rotation"], [])
        phase, current, following = (int.from_bytes(found.get_value(0, i) or b"") for i in range(3))
        return keys_in_use(phase, current, following)

    def _blind(self, key_ids: list[int], msisdn: Msisdn) -> list[bytes]:
        return [self._keyring.blind_by(id, msisdn) for id in key_ids]

    def _part(self, code: int) -> _Partition:
        part = self._parts.get(code)
        if part is None:
            found = self._session.query(b"remainder", _SQL["remainder"], [_CODE.pack(code)])
            part = _PARTITIONS[int.from_bytes(found.get_value(0, 0) or b"")]
            if len(self._parts) >= _MAX_CACHED_CODES:  # callers can dial any code
                self._parts.clear()
            self._parts[code] = part
        return part


def _number(number: Number700) -> tuple[bytes, bytes]:
    return _CODE.pack(number.code.value), _SERIAL.pack(number.serial)
