"""The codes that a tenant's numbers may be drawn from just now, and why others may not."""

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from qibai.core.errors import NoCodeForProvince, NoCodes, NumberNotOwned, PolicyRefused, QibaiError
from qibai.core.numbering import Code
from qibai.core.pilot import CodeRights, Rule, Rules, pilot_time
from qibai.store.bindings.model import BindItem
from qibai.store.bindings.session import database_time
from qibai.store.codes import TenantCode
from qibai.store.connection import Connection
from qibai.store.standing import TenantCodes, read_tenant

_FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
_NOTHING: Final[Container[int]] = frozenset()


class CodeSet:
    """Open codes by province. ``version`` None: nobody keeps watch over changes, as in tests of the store."""

    version: int | None = None
    until: datetime | None = None  #: when rules say something else by themselves; None: never
    quotas = False
    existing = False  #: old middle numbers serve: no party may be one

    def __init__(self, codes: Iterable[tuple[int, Iterable[str]]]) -> None:
        """``codes``: each with the provinces that it may be used in."""
        self.provinces = {code: frozenset(where) for code, where in codes}
        self.all = list(self.provinces)
        self.by_province: dict[str, list[int]] = {}
        for code, where in self.provinces.items():
            for province in where:
                self.by_province.setdefault(province, []).append(code)

    @classmethod
    def of(cls, codes: Sequence[TenantCode]) -> "CodeSet":
        """Those that are enabled."""
        return cls((own.code, [own.province] if own.province else []) for own in codes if own.enabled)

    def locked(self, code: int) -> Container[int]:
        """The serials of a code that must not be drawn."""
        return _NOTHING

    def refusal(self, item: BindItem) -> QibaiError | None:
        """What rules the item out before anything is drawn."""
        if not self.all:
            return NoCodes()
        if item.province is not None and item.province not in self.by_province:
            return NoCodeForProvince(field="province")
        if item.expected is not None:
            value = item.expected.code.value
            if value not in self.provinces:
                return NumberNotOwned(field="x")
            if item.province is not None and item.province not in self.provinces[value]:
                return NumberNotOwned("the expected number is not of that province", field="x")
        return None


class RuledCodes(CodeSet):
    """What the pilot's rules and the operator leave of a tenant's codes, at one time."""

    def __init__(self, known: TenantCodes, rules: Rules, now: float) -> None:
        self._known, self._rules, self._now = known, rules, now
        self._why: dict[str | None, Rule | None] = {}
        may: dict[int, Rule | None] = {}  # most codes share their rights
        open_codes = []
        for code, rights in known.rights.items():
            key = id(rights)
            if key not in may:
                may[key] = rules.may_bind(rights, now)
            if may[key] is None:
                open_codes.append((code, self._where(code, rights)))
        super().__init__(open_codes)
        self.version, self.quotas, self.existing = known.version, known.quotas, known.existing
        began = pilot_time(now)
        self._span = began, rules.same_until((rights.standing for rights in _distinct(known.rights)), now)
        if self._span[1] < _FOREVER:
            self.until = datetime.fromtimestamp(now + self._span[1] - began, UTC)

    def _where(self, code: int, rights: CodeRights) -> Iterable[str]:
        """Where the carrier has opened it; without the pilot's calendar also where the operator says."""
        own = self._known.province.get(code)
        if self._rules.calendar is not None or own is None:
            return rights.code.provinces
        return rights.code.provinces | {own}

    def holds(self, now: float) -> bool:
        """Whether the rules say the same at ``now``."""
        return self._span[0] <= pilot_time(now) < self._span[1]

    def locked(self, code: int) -> Container[int]:
        rights = self._known.rights.get(code)
        return rights.locks if rights is not None else _NOTHING

    def refusal(self, item: BindItem) -> QibaiError | None:
        if item.expected is not None and (problem := self._refused_number(item.expected.code, item)):
            return problem
        if not self.all and self._known.rights:
            return self._refused(None)
        if item.province is not None and item.province not in self.by_province and self._known.rights:
            return self._refused(item.province)
        return super().refusal(item)

    def refused_change(self, code: int, serials: Iterable[int]) -> QibaiError | None:
        """Why a binding on these numbers may not be prolonged, nor get another party."""
        rights = self._known.rights.get(code)
        if rights is None:  # the code was taken from the tenant
            return policy_refused(Rule.CODE_RETURNED)
        for serial in serials:
            if (rule := self._rules.may_bind_number(rights, serial, self._now)) is not None:
                return policy_refused(rule)
        return None

    def _refused_number(self, code: Code, item: BindItem) -> QibaiError | None:
        rights = self._known.rights.get(code.value)
        if rights is None or item.expected is None:
            return None
        rule = self._rules.may_bind_number(rights, item.expected.serial, self._now)
        return None if rule is None else policy_refused(rule, field="x")

    def _refused(self, province: str | None) -> QibaiError:
        """Nothing is left, in the province or at all: the rule that stands against it."""
        if province not in self._why:
            self._why[province] = self._first_rule(province)
        rule = self._why[province]
        return NoCodeForProvince(field="province") if rule is None else policy_refused(rule)

    def _first_rule(self, province: str | None) -> Rule | None:
        """None: codes are there, but none of that province."""
        for rights in _distinct(self._known.rights):
            rule = self._rules.may_bind(rights, self._now)
            if rule is not None and (province is None or province in rights.code.provinces):
                return rule
        return None


class Entitlement:
    """A tenant's rights as one worker knows them, for all of its binds. Read again when the store says so."""

    def __init__(self, tenant_id: int, rules: Rules) -> None:
        self._tenant_id, self._rules = tenant_id, rules
        self._known: TenantCodes | None = None
        self._codes: RuledCodes | None = None
        self._ahead = timedelta()  # the database's clock against this machine's

    async def codes(
        self, conn: Connection, now: datetime | None = None, *, not_version: int | None = None
    ) -> RuledCodes:
        """The codes at ``now`` (None: by the database's clock); read again if they are of ``not_version``.

        Raise StoreUnavailable.
        """
        if self._known is None or self._known.version == not_version:
            self._known = await read_tenant(conn, self._tenant_id)
            self._ahead = await database_time(conn) - datetime.now(UTC)
            self._codes = None
        at = (now or datetime.now(UTC) + self._ahead).timestamp()
        if self._codes is None or not self._codes.holds(at):
            self._codes = RuledCodes(self._known, self._rules, at)
        return self._codes


def policy_refused(rule: Rule, *, field: str | None = None) -> PolicyRefused:
    """The rule, as an error."""
    return PolicyRefused(rule.text, rule=rule.id, document=rule.document, field=field)


def _distinct(rights: Mapping[int, CodeRights]) -> list[CodeRights]:
    return list({id(one): one for one in rights.values()}.values())
