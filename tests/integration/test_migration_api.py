"""Operators see and turn a tenant's move to 700 over the API; its users are told by text message, once."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from api_tools import Api
from binding_tools import connection
from migration_tools import jsonl, old, take_over
from qibai.core.errors import BadRequest
from qibai.core.roles import Role
from qibai.store import resources
from qibai.store.existing.notice import NUMBER, TEXT, Notices
from qibai.store.messages.body import open_body


@pytest.fixture
def api(tmp_path: Path, database: Callable[[], str]) -> Iterator[Api]:
    made = Api(tmp_path / "home", database())
    try:
        yield made.start()
    finally:
        made.stop()


def test_status_cut_over_and_back(api: Api) -> None:
    shop, wang = api.tenant("shop", "70012345678"), api.operator()
    path = "/v1/admin/existing"

    def turn(how: str, status: int = 200, **body: object) -> dict[str, object]:
        answer = api.call(wang, "POST", f"{path}/{how}", {"tenant": "shop", **body})
        assert answer.status_code == status, answer.text
        found: dict[str, object] = answer.json()
        return found

    assert turn("cut-over", 409)["code"] == "step_refused"  # there is nothing to cut over
    asyncio.run(take_over(api.dsn, api.keyring, shop.id, jsonl(old(1), old(2, b=None, mode="AXN"))))
    state = api.call(wang, "GET", f"{path}?tenant=shop").json()
    assert (state["moved"], state["kept"], state["cut_over_at"]) == (1, 1, None)
    assert [file["moved"] for file in state["files"]] == [1]
    assert "1 live old bindings have no 700 number" in str(turn("cut-over", 409)["detail"])
    assert turn("cut-over", force=True)["cut_over_at"] is not None
    assert turn("cut-over", 409, force=True)["code"] == "step_refused"
    assert turn("go-on")["cut_over_at"] is None
    assert api.call(wang, "GET", f"{path}?tenant=nobody").status_code == 404
    trail = api.call(wang, "GET", "/v1/admin/audit").json()["items"]
    acts = [entry["details"] for entry in trail if entry["subject"] == "tenant:shop"]
    assert "cutover undone" in str(acts[0]) and "cutover" in str(acts[1])


def test_who_may_see_and_turn(api: Api) -> None:
    shop = api.tenant("shop", "70012345678")
    api.tenant("other")

    async def place() -> None:
        async with connection(api.dsn) as conn:
            for name in ("east", "west"):
                await resources.add_platform(conn, name)
            await resources.place_tenant(conn, "other", "east")

    asyncio.run(place())
    network = api.tenant("carrier", kind=Role.NETWORK)
    east, west = api.platform_key("east"), api.platform_key("west")
    path = "/v1/admin/existing"
    assert api.call(east, "GET", f"{path}?tenant=other").status_code == 200
    assert api.call(west, "GET", f"{path}?tenant=other").status_code == 404
    for who in (shop, network, None):
        assert api.call(who, "GET", f"{path}?tenant=shop").status_code in (401, 403)
    for who in (shop, network, east, None):
        for how in ("cut-over", "go-on"):
            answer = api.call(who, "POST", f"{path}/{how}", {"tenant": "other"})
            assert answer.status_code in (401, 403)


def test_both_parties_are_told_the_number_to_dial_once(api: Api) -> None:
    shop = api.tenant("shop", "70012345678")
    rows = [old(1), old(2, y="+8617199990000", mode="AXYB"), old(3, b=None, mode="AXN")]
    asyncio.run(take_over(api.dsn, api.keyring, shop.id, jsonl(*rows)))

    async def tell(text: str = TEXT) -> int:
        async with connection(api.dsn) as conn:
            notices = Notices(conn, api.keyring, shop.id, text, timedelta(hours=1))
            return await notices.run(lambda what, count, total: None)

    assert asyncio.run(tell()) == 4
    api.sql("UPDATE existing_binding SET told_at = NULL")  # as if it had been stopped before the note
    asyncio.run(tell())
    assert asyncio.run(tell()) == 0
    bound = {order: (code, x, y) for order, code, x, y in api.sql("SELECT order_id, code, x, y FROM binding")}
    found = api.sql("SELECT code, id, shown, body, receiver, binding_id FROM message")
    assert len(found) == 4
    expected = sorted(
        [bound["order-1"][1]] * 2 + [bound["order-2"][1], bound["order-2"][2]],
    )
    assert sorted(row[2] for row in found) == expected
    for code, id, shown, body, *_ in found:
        assert open_body(api.keyring, code, id, body) == TEXT.replace(NUMBER, f"700{code:08d}{shown:04d}")
    with pytest.raises(BadRequest):
        asyncio.run(tell("call us"))


def test_an_old_middle_number_is_nobodys_party(api: Api) -> None:
    shop = api.tenant("shop", "70012345678")
    asyncio.run(take_over(api.dsn, api.keyring, shop.id, jsonl(old(1))))
    x, stranger = old(1)["x"], "+8613700137000"
    for parties in ({"a": x, "b": stranger}, {"a": stranger, "b": x}):
        answer = api.call(shop, "POST", "/v1/bindings", {"mode": "AXB", "order_id": "o", **parties})
        assert (answer.status_code, answer.json()["code"]) == (422, "number_700_as_party")
    made = api.bind(shop, mode="AXB", a=stranger, b="+8613600136000")
    changed = api.call(shop, "PATCH", f"/v1/bindings/{made['id']}", {"b": x})
    assert (changed.status_code, changed.json()["code"]) == (422, "number_700_as_party")
