"""What binds and calls are entitled to, as the store has it, kept by workers together with its version."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import msgspec
import psycopg

from qibai.core.existing import ExistingNumber
from qibai.core.pilot import CodeRights, CodeStanding, CodeState, Rule, Rules, Span, Standing
from qibai.core.routing import RouteRecord
from qibai.store.connect import Session
from qibai.store.connection import Connection
from qibai.store.failures import own_errors
from qibai.store.statements import load

_SQL: Final = load("standing")
_CODE_RIGHTS: Final = _SQL["code_rights"]
_EXISTING_RIGHTS: Final = _SQL["existing_rights"]
_MAX_CODES: Final = 100_000


class Papers(msgspec.Struct, frozen=True):
    """An application platform's papers and those of one of its certificates; nothing where there is none."""

    applied_at: datetime | None = None
    approval_first: date | None = None
    approval_last: date | None = None
    approval_provinces: list[str] | None = None
    revoked_at: datetime | None = None
    exit_at: datetime | None = None
    certificate_first: date | None = None
    certificate_last: date | None = None
    certificate_provinces: list[str] | None = None
    certificate_revoked_at: datetime | None = None

    @property
    def standing(self) -> Standing:
        """The same, as the rules take it; a certificate that was revoked ends then."""
        certificate = _span(self.certificate_first, self.certificate_last)
        ended = _unix(self.certificate_revoked_at)
        if certificate is not None and ended is not None:
            end = min(certificate.end, ended)
            certificate = Span(certificate.start, end) if end > certificate.start else None
        return Standing(
            applied_at=_unix(self.applied_at),
            approval=_span(self.approval_first, self.approval_last),
            certificate=certificate,
            revoked_at=_unix(self.revoked_at),
            exit_at=_unix(self.exit_at),
        )

    def provinces(self, opened: Iterable[str]) -> frozenset[str]:
        """Those of the opened provinces that the papers cover."""
        found = frozenset(opened)
        for paper in (self.approval_provinces, self.certificate_provinces):
            if paper is not None:
                found &= frozenset(paper)
        return found


_NO_PAPERS: Final = Papers()
_NO_STANDING: Final = Standing()


class _Known(msgspec.Struct, frozen=True):
    """What ``code_rights`` says of one code."""

    version: int
    state: CodeState
    enabled: bool
    opened: list[str]
    papers: Papers
    locks: dict[str, bool]


class _OldBusiness(msgspec.Struct, frozen=True):
    """What ``existing_rights`` says of one tenant."""

    papers: Papers
    cut_over: bool


@dataclass(frozen=True, slots=True)
class TenantCodes:
    """A tenant's codes and rights at ``version``; ``quotas``: whether its bindings are counted."""

    version: int
    rights: Mapping[int, CodeRights]
    province: Mapping[int, str | None]  #: what the operator gave with the code
    quotas: bool
    existing: bool  #: old middle numbers serve here, of whatever tenant


async def read_version(conn: Connection) -> int:
    """The number of the latest change. Raise StoreUnavailable."""
    with own_errors():
        row = await (await conn.execute(_SQL["version"])).fetchone()
    assert row is not None  # noqa: S101  # the table's one row
    return int(row[0])


async def read_tenant(conn: Connection, tenant_id: int) -> TenantCodes:
    """All that binds of the tenant depend on. Raise StoreUnavailable.

    The version is read first: a change meanwhile makes it old, which the next bind notices.
    """
    version = await read_version(conn)
    params = {"tenant": tenant_id}
    with own_errors():
        papers = {
            (platform, certificate): msgspec.json.decode(said, type=Papers)
            for platform, certificate, said in await _all(conn, "tenant_papers", params)
        }
        locks: dict[int, dict[int, bool]] = {}
        for code, serial, stops_calls in await _all(conn, "tenant_locks", params):
            locks.setdefault(code, {})[serial] = stops_calls
        rows = await _all(conn, "tenant_codes", params)
        quotas = await _all(conn, "has_quotas", params)
        existing = await _all(conn, "has_existing", params)
    standings = {key: one.standing for key, one in papers.items()}
    shared: dict[Any, CodeRights] = {}  # most codes are alike
    rights = {}
    for code, state, enabled, opened, platform, certificate, _ in rows:
        own = locks.get(code)
        alike = (state, enabled, tuple(opened), platform, certificate)
        found = None if own else shared.get(alike)
        if found is None:
            key = (platform, certificate)
            own_papers = papers.get(key, _NO_PAPERS)  # none: changed just now, and the version is old
            standing = CodeStanding(CodeState(state), own_papers.provinces(opened), locked=not enabled)
            found = CodeRights(standings.get(key, _NO_STANDING), standing, own or {})
            if not own:
                shared[alike] = found
        rights[code] = found
    return TenantCodes(version, rights, {row[0]: row[6] for row in rows}, bool(quotas), bool(existing))


async def old_business(conn: Connection, tenant_id: int) -> tuple[Standing, bool]:
    """What a tenant's old numbers depend on: its platform's papers, and whether it has cut over.

    Raise StoreUnavailable.
    """
    with own_errors():
        async with psycopg.AsyncRawCursor(conn) as cur:
            await cur.execute(_EXISTING_RIGHTS, [tenant_id])
            row = await cur.fetchone()
    assert row is not None  # noqa: S101  # one row, whatever the tenant
    said = msgspec.json.decode(row[1], type=_OldBusiness)
    return said.papers.standing, said.cut_over


class CallPolicy:
    """The pilot's rules for calls, on a session of routing reads; asks only for codes that have changed."""

    def __init__(self, session: Session, rules: Rules) -> None:
        self._session, self._rules = session, rules
        self._known: dict[int, tuple[int, CodeRights | None]] = {}
        self._old: dict[int, tuple[int, Standing, bool]] = {}

    def __call__(self, record: RouteRecord, now: float) -> str | None:
        """The id of the rule that forbids the call, or None. Raise StoreUnavailable."""
        rule = self.rule(record, now)
        return None if rule is None else rule.id

    def knows(self, record: RouteRecord) -> bool:
        """Whether nothing has to be read to answer for this record."""
        known = self._known.get(record.called.code.value)
        return known is not None and known[0] == record.standing

    def rule(self, record: RouteRecord, now: float) -> Rule | None:
        """The same, as the rule itself."""
        called = record.called
        if isinstance(called, ExistingNumber):
            return self._existing(record, now)
        code = called.code.value
        known = self._known.get(code)
        if known is None or known[0] != record.standing:
            known = self._read(code)
        return self._rules.may_call(known[1], called.serial, now)

    def _existing(self, record: RouteRecord, now: float) -> Rule | None:
        """Whether an old number of the tenant's may still be called."""
        tenant = record.tenant_id
        known = self._old.get(tenant)
        if known is None or known[0] != record.standing:
            found = self._session.query(b"existing_rights", _EXISTING_RIGHTS, [tenant.to_bytes(4, "big")])
            version = int.from_bytes(found.get_value(0, 0) or b"")
            said = msgspec.json.decode(found.get_value(0, 1) or b"", type=_OldBusiness)
            if len(self._old) >= _MAX_CODES:
                self._old.clear()
            known = self._old[tenant] = version, said.papers.standing, said.cut_over
        return self._rules.may_serve_existing(known[1], now, cut_over=known[2], anyone=record.anyone)

    def _read(self, code: int) -> tuple[int, CodeRights | None]:
        found = self._session.query(b"code_rights", _CODE_RIGHTS, [code.to_bytes(4, "big")])
        version = int.from_bytes(found.get_value(0, 0) or b"")
        said = found.get_value(0, 1)
        rights = None
        if said is not None:
            known = msgspec.json.decode(said, type=_Known)
            rights = CodeRights(
                known.papers.standing,
                CodeStanding(known.state, known.papers.provinces(known.opened), locked=not known.enabled),
                {int(serial): stops for serial, stops in known.locks.items()},
            )
        if len(self._known) >= _MAX_CODES:
            self._known.clear()
        self._known[code] = version, rights
        return version, rights


async def _all(conn: Connection, name: str, params: dict[str, Any]) -> list[Any]:
    return await (await conn.execute(_SQL[name], params, binary=True)).fetchall()


def _unix(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _span(first: date | None, last: date | None) -> Span | None:
    return None if first is None or last is None else Span.days(first, last)
