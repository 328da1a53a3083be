"""Changing, listing and releasing bindings."""

import asyncio
from datetime import timedelta

import pytest

from binding_tools import (
    CODES,
    DAY,
    HOUR,
    NOW,
    TENANT,
    assert_whole,
    bind,
    bound,
    connection,
    item,
    msisdn,
    value,
)
from qibai.core.binding import Mode, Status
from qibai.core.errors import (
    BadRequest,
    BindingEnded,
    BindingNotFound,
    GroupSizeWrong,
    ModeMismatch,
    NumberTaken,
    PartyRepeated,
    QibaiError,
)
from qibai.core.numbering import Code, Number700
from qibai.core.routing import Refusal, RefusalReason, Route, decide
from qibai.store.bindings import (
    Binding,
    BindingEditor,
    Bound,
    get,
    list_bindings,
    release,
    release_many,
)
from qibai.store.connection import Connection
from qibai.store.keys import Keyring
from qibai.store.routes import RouteReader

EXPECTED = Number700(Code(CODES[0].code), 4321)


def editor(conn: Connection, keyring: Keyring, *, now: timedelta = timedelta(0)) -> BindingEditor:
    return BindingEditor(conn, keyring, TENANT, now=NOW + now, quarantine=DAY)


class Dialler:
    """Asks where a call goes, as voice does."""

    def __init__(self, dsn: str, keyring: Keyring) -> None:
        self.reader = RouteReader(dsn, keyring)

    def call(self, number: Number700, caller: int, after: timedelta = timedelta(0)) -> str | RefusalReason:
        """The callee's real number, or why there is none."""
        party = msisdn(caller)
        now = (NOW + after).timestamp()
        record = self.reader.find(number, party)
        in_use = self.reader.number_in_use(number, now)
        decision = decide(number, party, record, now, number_in_use=in_use)
        if isinstance(decision, Refusal):
            return decision.reason
        assert isinstance(decision, Route)
        return str(self.reader.open_callee(decision.record))


@pytest.fixture
def dialler(dsn: str, keyring: Keyring):  # type: ignore[no-untyped-def]
    made = Dialler(dsn, keyring)
    yield made
    made.reader.close()


async def test_an_extended_binding_lives_until_its_new_end(
    dsn: str, keyring: Keyring, dialler: Dialler
) -> None:
    async with connection(dsn) as conn:
        one = await bound(conn, keyring, item(mode=Mode.AXYB, expires_at=NOW + HOUR))
        changed = await editor(conn, keyring).extend(one.code, one.id, NOW + 3 * HOUR)
        assert changed.expires_at == NOW + 3 * HOUR
        assert await get(conn, keyring, TENANT, one.code, one.id) == await _same(changed, conn, keyring)
        assert dialler.call(one.x, 1, 2 * HOUR) == str(msisdn(2))
        assert dialler.call(one.far, 2, 3 * HOUR) is RefusalReason.ORDER_ENDED
        await assert_whole(conn)
        with pytest.raises(BindingEnded):
            await editor(conn, keyring, now=3 * HOUR).extend(one.code, one.id, NOW + DAY)
        with pytest.raises(BindingNotFound):
            await editor(conn, keyring).extend(one.code, one.id + 1, NOW + DAY)


async def _same(binding: Binding, conn: Connection, keyring: Keyring) -> Binding:
    """The binding as stored; its parties are those that the change returned."""
    stored = await get(conn, keyring, TENANT, binding.code, binding.id)
    assert stored.parties == binding.parties
    return stored


@pytest.mark.parametrize("mode", [Mode.AXB, Mode.AXYB])
async def test_a_party_gives_way_to_another(dsn: str, keyring: Keyring, dialler: Dialler, mode: Mode) -> None:
    async with connection(dsn) as conn:
        one = await bound(conn, keyring, item(1, 2, mode=mode))
        changed = await editor(conn, keyring).change_party(one.code, one.id, a=msisdn(3))
        assert changed.parties == (await _same(changed, conn, keyring)).parties
        assert dialler.call(one.x, 1) is RefusalReason.ORDER_ENDED
        assert dialler.call(one.x, 3) == str(msisdn(2))
        assert dialler.call(one.far, 2) == str(msisdn(3))
        await editor(conn, keyring).change_party(one.code, one.id, b=msisdn(4))
        assert dialler.call(one.far, 2) is RefusalReason.ORDER_ENDED
        assert dialler.call(one.x, 3) == str(msisdn(4))
        assert dialler.call(one.far, 4) == str(msisdn(3))
        back = await editor(conn, keyring).change_party(one.code, one.id, a=msisdn(1), b=msisdn(2))
        assert (back.a, back.b) == (msisdn(1), msisdn(2))
        assert dialler.call(one.x, 1) == str(msisdn(2))
        with pytest.raises(PartyRepeated):
            await editor(conn, keyring).change_party(one.code, one.id, a=msisdn(2))
        with pytest.raises(ModeMismatch):
            await editor(conn, keyring).change_party(one.code, one.id, member=(msisdn(1), msisdn(5)))
        await assert_whole(conn)
        await release(conn, keyring, TENANT, one.code, one.id, now=NOW, quarantine=DAY)
        assert await value(conn, "SELECT count(*) FROM route WHERE ends_at > '2026-11-24 12:00Z'") == 0


async def test_a_party_can_change_sides(dsn: str, keyring: Keyring, dialler: Dialler) -> None:
    async with connection(dsn) as conn:
        for mode in (Mode.AXB, Mode.AXYB):
            one = await bound(conn, keyring, item(1, 2, mode=mode))
            await editor(conn, keyring).change_party(one.code, one.id, a=msisdn(2), b=msisdn(1))
            assert dialler.call(one.x, 2) == str(msisdn(1))
            assert dialler.call(one.far, 1) == str(msisdn(2))
            await assert_whole(conn)


async def test_a_newcomer_who_has_the_number_already_is_refused(dsn: str, keyring: Keyring) -> None:
    async with connection(dsn) as conn:
        one = await bound(conn, keyring, item(1, 2, expected=EXPECTED))
        two = await bound(conn, keyring, item(3, 4, expected=EXPECTED))
        for newcomer in (1, 2):
            for side in ("a", "b"):
                with pytest.raises(NumberTaken):
                    await editor(conn, keyring).change_party(two.code, two.id, **{side: msisdn(newcomer)})
        assert (await get(conn, keyring, TENANT, two.code, two.id)).parties == two.parties
        assert (await get(conn, keyring, TENANT, one.code, one.id)).parties == one.parties
        await assert_whole(conn)


@pytest.mark.parametrize("mode", [Mode.GXB, Mode.GXYB])
async def test_a_group_gains_and_loses_members(
    dsn: str, keyring: Keyring, dialler: Dialler, mode: Mode
) -> None:
    async with connection(dsn) as conn:
        one = await bound(conn, keyring, item(b=2, mode=mode, members=(10, 11)))
        await editor(conn, keyring).add_members(one.code, one.id, [msisdn(12)])
        assert dialler.call(one.x, 12) == str(msisdn(2))
        record = dialler.reader.find(one.x, msisdn(12))
        assert record is not None
        dialler.reader.touch_group(record)
        assert dialler.call(one.far, 2) == str(msisdn(12))
        left = await editor(conn, keyring).remove_members(one.code, one.id, [msisdn(12)])
        assert left.members == (msisdn(10), msisdn(11))
        assert dialler.call(one.far, 2) == str(msisdn(10))
        assert dialler.call(one.x, 12) is RefusalReason.ORDER_ENDED
        changed = await editor(conn, keyring).change_party(one.code, one.id, member=(msisdn(10), msisdn(13)))
        assert changed.members == (msisdn(13), msisdn(11))
        assert dialler.call(one.far, 2) == str(msisdn(13))
        await editor(conn, keyring).change_party(one.code, one.id, b=msisdn(3))
        assert dialler.call(one.far, 3) == str(msisdn(13))
        assert [dialler.call(one.x, near) for near in (11, 13)] == [str(msisdn(3))] * 2
        await assert_whole(conn)

        with pytest.raises(PartyRepeated):
            await editor(conn, keyring).add_members(one.code, one.id, [msisdn(3)])
        with pytest.raises(BadRequest):
            await editor(conn, keyring).remove_members(one.code, one.id, [msisdn(12)])
        with pytest.raises(GroupSizeWrong):
            await editor(conn, keyring).remove_members(one.code, one.id, [msisdn(11), msisdn(13)])
        many = [msisdn(1000 + n) for n in range(199)]
        with pytest.raises(GroupSizeWrong):
            await editor(conn, keyring).add_members(one.code, one.id, many)
        full = await editor(conn, keyring).add_members(one.code, one.id, many[:198])
        assert len(full.members) == 200
        await assert_whole(conn)
        ended = await release(conn, keyring, TENANT, one.code, one.id, now=NOW, quarantine=DAY)
        assert ended.status is Status.RELEASED
        assert dialler.call(one.x, 1000) is RefusalReason.ORDER_ENDED
        pair = await bound(conn, keyring, item())
        with pytest.raises(ModeMismatch):
            await editor(conn, keyring).add_members(pair.code, pair.id, [msisdn(12)])


async def test_a_release_is_immediate_and_can_be_repeated(
    dsn: str, keyring: Keyring, dialler: Dialler
) -> None:
    async with connection(dsn) as conn:
        answers = await bind(conn, keyring, *(item(2 * n, 2 * n + 1, mode=Mode.AXYB) for n in range(1, 30)))
        ids = [(a.binding.code, a.binding.id) for a in answers]
        short = await bound(conn, keyring, item(expires_at=NOW + HOUR / 2))
        await release(conn, keyring, TENANT, *ids[0], now=NOW, quarantine=DAY)
        asked = [*ids, ids[1], (CODES[0].code, 1), (short.code, short.id)]
        results = await release_many(conn, keyring, TENANT, asked, now=NOW + HOUR, quarantine=DAY)
        errors = [result for result in results if isinstance(result, QibaiError)]
        assert [type(error) for error in errors] == [BindingNotFound]
        ended = [result for result in results if not isinstance(result, QibaiError)]
        assert [result.ended_at for result in ended] == [
            NOW,
            *[NOW + HOUR] * (len(ids) - 1),
            NOW + HOUR,
            NOW + HOUR / 2,
        ]
        assert (ended[-1].status, ended[-2].status) == (Status.EXPIRED, Status.RELEASED)
        again = await release_many(conn, keyring, TENANT, asked, now=NOW + 2 * HOUR, quarantine=DAY)
        assert [r for r in again if not isinstance(r, QibaiError)] == ended
        one = answers[1].binding
        assert dialler.call(one.x, 4, HOUR) is RefusalReason.ORDER_ENDED
        assert dialler.call(one.far, 5, HOUR) is RefusalReason.ORDER_ENDED
        assert await value(conn, "SELECT count(*) FROM route WHERE ends_at > '2026-11-24 13:00Z'") == 0
        with pytest.raises(BindingEnded):
            await editor(conn, keyring).extend(*ids[0], NOW + DAY)


async def test_pages_hold_every_binding_once_newest_first(dsn: str, keyring: Keyring) -> None:
    async with connection(dsn) as conn:
        await bind(conn, keyring, *(item(2 * n, 2 * n + 1) for n in range(1, 40)), tenant=TENANT + 1)
        answers = await bind(conn, keyring, *(item(2 * n, 2 * n + 1) for n in range(1, 26)))
        made = {answer.binding.id for answer in answers if isinstance(answer, Bound)}
        seen: list[int] = []
        cursor = None
        while True:
            page = await list_bindings(conn, keyring, TENANT, NOW, limit=7, cursor=cursor)
            seen += [binding.id for binding in page.bindings]
            cursor = page.cursor
            if cursor is None:
                break
        assert seen == sorted(made, reverse=True)
        with pytest.raises(BadRequest):
            await list_bindings(conn, keyring, TENANT, NOW, cursor="b1")


async def test_filters_choose_bindings(dsn: str, keyring: Keyring) -> None:
    async with connection(dsn) as conn:
        live = await bound(conn, keyring, item(1, 2, mode=Mode.AXYB))
        short = await bound(conn, keyring, item(3, 4, expires_at=NOW + HOUR))
        gone = await bound(conn, keyring, item(b=6, mode=Mode.GXB, members=(7, 8)))
        await release(conn, keyring, TENANT, gone.code, gone.id, now=NOW, quarantine=DAY)
        assert live.y is not None

        async def found(**filters: object) -> list[int]:
            page = await list_bindings(conn, keyring, TENANT, NOW + HOUR, **filters)  # type: ignore[arg-type]
            return [binding.id for binding in page.bindings]

        assert await found(status=Status.ACTIVE) == [live.id]
        assert await found(status=Status.EXPIRED) == [short.id]
        assert await found(status=Status.RELEASED) == [gone.id]
        assert await found(mode=Mode.GXB) == [gone.id]
        assert await found(number=live.x) == await found(number=live.y) == [live.id]
        assert await found(order_id="o-2") == []
        assert len(await found(order_id="o-1")) == 3
        assert await found(order_id="o-1", mode=Mode.AXB, number=short.x) == [short.id]


async def test_changes_and_a_release_at_once_leave_no_live_pair(dsn: str, keyring: Keyring) -> None:
    """After the release nothing of the binding is live, whatever was changed meanwhile."""

    async def alter(binding: Binding, step: int) -> None:
        async with connection(dsn) as conn:
            made = editor(conn, keyring)
            try:
                if step % 3 == 0:
                    await made.add_members(binding.code, binding.id, [msisdn(100 + step)])
                elif step % 3 == 1:
                    await made.extend(binding.code, binding.id, NOW + step * HOUR)
                else:
                    await made.change_party(binding.code, binding.id, b=msisdn(200 + step))
            except BindingEnded:
                pass

    async def finish(binding: Binding) -> None:
        async with connection(dsn) as conn:
            await release(conn, keyring, TENANT, binding.code, binding.id, now=NOW, quarantine=DAY)

    async with connection(dsn) as conn:
        for _ in range(5):
            one = await bound(conn, keyring, item(b=2, mode=Mode.GXYB, members=(10, 11)))
            work = [alter(one, step) for step in range(1, 9)]
            await asyncio.gather(*work[:4], finish(one), *work[4:])
            assert (await get(conn, keyring, TENANT, one.code, one.id)).status(NOW) is Status.RELEASED
            assert await value(conn, "SELECT count(*) FROM route WHERE ends_at > %s", NOW) == 0
