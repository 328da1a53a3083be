"""``/v1/messages``: sent on behalf of a party, once, under the tenant's policy; nobody else's are seen."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api_tools import A, Api, B, C, Tenant
from qibai.client import BindRequest, Client, SendRequest
from qibai.core.ids import format_id, new_id, parse_id

TEXT = "您的包裹已到门口"
_DAMAGE = {
    "binding": "UPDATE binding SET b = set_byte(b, %(at)s, get_byte(b, %(at)s) # 255) WHERE id = %(id)s",
    "message": "UPDATE message SET sender = set_byte(sender, %(at)s, get_byte(sender, %(at)s) # 255)"
    " WHERE id = %(id)s",
    "call": "UPDATE call SET caller = set_byte(caller, %(at)s, get_byte(caller, %(at)s) # 255)"
    " WHERE id = %(id)s",
}
_CODES = {"binding": "7009999001", "message": "7009999002", "call": "7009999003"}


@pytest.fixture(scope="module")
def api(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    made = Api(tmp_path_factory.mktemp("messages"), database())
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(scope="module")
def shop(api: Api) -> Tenant:
    return api.tenant("shop", "70012345678")


@pytest.fixture
def binding(api: Api, shop: Tenant) -> Iterator[dict[str, Any]]:
    made = api.bind(shop)
    yield made
    api.call(shop, "DELETE", f"/v1/bindings/{made['id']}")


def body(binding: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"binding_id": binding["id"], "order_id": "order-1", "sender": A, "text": TEXT} | more


def refused(api: Api, who: Tenant, sent: dict[str, Any]) -> tuple[int, str]:
    answer = api.call(who, "POST", "/v1/messages", sent)
    assert A not in answer.text and B not in answer.text and TEXT not in answer.text
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("sender", [A, B])
def test_each_party_writes_to_the_number_it_dials(
    api: Api, shop: Tenant, binding: dict[str, Any], sender: str
) -> None:
    called, shown = ("x", "y") if sender == A else ("y", "x")
    answer = api.call(shop, "POST", "/v1/messages", body(binding, sender=sender))
    assert answer.status_code == 202, answer.text
    sent = answer.json()
    assert (sent["sender"], sent["receiver"]) == ((A, B) if sender == A else (B, A))
    assert (sent["called"], sent["shown"]) == (binding[called], binding[shown])
    assert (sent["kind"], sent["state"], sent["order_id"]) == ("platform", "queued", "order-1")
    assert TEXT not in answer.text
    assert answer.headers["Location"] == f"/v1/messages/{sent['id']}"
    assert api.call(shop, "GET", f"/v1/messages/{sent['id']}").json() == sent


def test_a_repeated_request_sends_once(api: Api, shop: Tenant, binding: dict[str, Any]) -> None:
    with psycopg.connect(api.dsn, autocommit=True) as conn:
        first = api.call(shop, "POST", "/v1/messages", body(binding), Idempotency_Key="once")
        again = api.call(shop, "POST", "/v1/messages", body(binding), Idempotency_Key="once")
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.json() == first.json()
        count = conn.execute("SELECT count(*) FROM message WHERE binding_id IS NOT NULL").fetchone()
        other = body(binding, text="anders")
        answer = api.call(shop, "POST", "/v1/messages", other, Idempotency_Key="once")
        assert answer.json()["code"] == "idempotency_mismatch"
        # a key of a bind is no key of a message
        used = api.call(
            shop,
            "POST",
            "/v1/bindings",
            {"mode": "AXB", "a": A, "b": C, "order_id": "o"},
            Idempotency_Key="b",
        )
        assert used.status_code == 201
        clash = api.call(shop, "POST", "/v1/messages", body(binding), Idempotency_Key="b")
        assert clash.json()["code"] == "idempotency_mismatch"
        assert conn.execute("SELECT count(*) FROM message WHERE binding_id IS NOT NULL").fetchone() == count


def test_the_clients_see_and_page(api: Api, shop: Tenant, binding: dict[str, Any]) -> None:
    with Client(api.url, shop.key.bearer) as client:
        ids = []
        for n in range(5):
            item = SendRequest(binding_id=binding["id"], order_id="order-1", sender=A, text=f"{TEXT}{n}")
            ids.append(client.send(item).id)
        found = [one.id for one in client.messages(binding=binding["id"], page=2)]
        assert found == ids[::-1]
        assert [one.id for one in client.messages(binding=binding["id"], state="delivered")] == []
        assert client.message(ids[0]).shown == binding["y"]
        order = client.bind(BindRequest(mode="AXB", a=A, b=C, order_id="order-of-messages"))
        sent = client.send(SendRequest(binding_id=order.id, order_id=order.order_id, sender=C, text=TEXT))
        assert [one.id for one in client.messages(order_id="order-of-messages")] == [sent.id]


def test_what_does_not_fit_is_refused_and_leaves_nothing(
    api: Api, shop: Tenant, binding: dict[str, Any]
) -> None:
    def count() -> int:
        return len(api.call(shop, "GET", "/v1/messages?limit=1000").json()["items"])

    before = count()
    unknown = "b12345678-0000000000000"
    assert refused(api, shop, body(binding, order_id="another")) == (422, "order_mismatch")
    assert refused(api, shop, body(binding, sender=C)) == (422, "not_a_party")
    assert refused(api, shop, body(binding, sender="+14155550100")) == (422, "number_foreign")
    assert refused(api, shop, body(binding, binding_id=unknown)) == (404, "binding_not_found")
    assert refused(api, shop, body(binding, binding_id="x")) == (404, "binding_not_found")
    assert refused(api, shop, body(binding, text="")) == (400, "request_invalid")
    assert refused(api, shop, body(binding, text="a" * 1001)) == (400, "request_invalid")
    assert refused(api, shop, body(binding, valid_s=1)) == (400, "request_invalid")
    stranger = api.tenant("stranger", "70012345679")
    assert refused(api, stranger, body(binding)) == (404, "binding_not_found")
    assert count() == before


def test_nothing_is_sent_once_the_order_has_ended(api: Api, shop: Tenant) -> None:
    binding = api.bind(shop)
    sent = api.call(shop, "POST", "/v1/messages", body(binding)).json()
    api.call(shop, "DELETE", f"/v1/bindings/{binding['id']}")
    assert refused(api, shop, body(binding)) == (409, "binding_ended")
    assert api.call(shop, "GET", f"/v1/messages/{sent['id']}").json()["order_id"] == "order-1"


def test_another_tenants_messages_are_not_found(api: Api, shop: Tenant, binding: dict[str, Any]) -> None:
    sent = api.call(shop, "POST", "/v1/messages", body(binding)).json()
    other = api.tenant("other", "70012345680")
    assert api.call(other, "GET", f"/v1/messages/{sent['id']}").json()["code"] == "message_not_found"
    assert api.call(other, "GET", "/v1/messages").json()["items"] == []
    operator = api.operator()
    seen = api.call(operator, "GET", f"/v1/messages/{sent['id']}?tenant=shop").json()
    assert (seen["sender"], seen["receiver"]) == ("+86138****8001", "+86139****9002")
    page = api.call(operator, "GET", "/v1/messages?tenant=shop")
    assert sent["id"] in page.text and A not in page.text and B not in page.text
    assert api.call(operator, "GET", "/v1/messages").json()["code"] == "request_invalid"
    assert api.call(operator, "POST", "/v1/messages", body(binding)).json()["code"] == "forbidden"


def test_the_policy_on_numbers_holds_for_the_tenants_own_texts(api: Api, tmp_path: Path) -> None:
    shop = api.tenant("careful", "70012345681")
    binding = api.bind(shop)
    text = "call 138 0013 8000"

    def send(**policy: Any) -> Any:
        api.call(shop, "PUT", "/v1/message-policy", policy)
        return api.call(shop, "POST", "/v1/messages", body(binding, text=text)).json()

    assert send(numbers="mask")["has_number"] is True
    assert send(numbers="pass")["has_number"] is True
    assert send(numbers="block")["code"] == "content_blocked"
    assert send(hook="block")["code"] == "content_blocked"
    assert send()["state"] == "queued"


def test_a_party_that_may_not_write_is_not_written_for(api: Api, shop: Tenant) -> None:
    binding = api.bind(shop, messages="b_to_a")
    assert refused(api, shop, body(binding)) == (403, "direction_forbidden")
    assert api.call(shop, "POST", "/v1/messages", body(binding, sender=B)).status_code == 202


@pytest.mark.parametrize("place", [0, 8], ids=["the key's id", "the nonce"])
@pytest.mark.parametrize("what", ["binding", "message", "call"])
def test_a_row_that_no_key_opens_is_named_and_the_others_are_listed(
    api: Api, caplog: pytest.LogCaptureFixture, what: str, place: int
) -> None:
    who = api.tenant(f"damaged-{what}-{place}", f"{_CODES[what]}{place}")
    rows = {"binding": [], "message": [], "call": []}
    for _ in range(3):
        binding = api.bind(who)
        rows["binding"].append(binding["id"])
        rows["message"].append(api.call(who, "POST", "/v1/messages", body(binding)).json()["id"])
        (code, row_id), id = parse_id("b", binding["id"]) or (0, 0), new_id()
        api.sql(
            """INSERT INTO call (code, id, tenant_id, binding_id, called, node, started_at, ended_at, caller)
               SELECT code, %s, tenant_id, id, x, 'n1', now(), now(), b
               FROM binding WHERE (code, id) = (%s, %s)""",
            id, code, row_id,
        )  # fmt: skip
        rows["call"].append(format_id("c", code, id))
    ids = rows[what]
    code, id = parse_id(what[0], ids[1]) or (0, 0)
    with psycopg.connect(api.dsn, autocommit=True) as conn:
        conn.execute(_DAMAGE[what], {"at": place, "id": id})
    listed, damaged = [], []
    cursor = ""
    while cursor is not None:  # page by page: the damaged row alone on its page
        page = api.call(who, "GET", f"/v1/{what}s?limit=1{cursor and '&cursor='}{cursor}").json()
        listed += [item["id"] for item in page["items"]]
        damaged += page["unreadable"]
        cursor = page["next_cursor"]
    assert (listed, damaged) == ([ids[2], ids[0]], [ids[1]])
    with Client(api.url, who.key.bearer) as client:
        assert len(list(getattr(client, f"{what}s")())) == 2
    assert ids[1] in caplog.text
