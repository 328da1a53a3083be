"""Whole real numbers that are read with a key are counted, so that whoever takes too many is seen."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import niquests
from cli_tools import Cli

from api_tools import A, Api, C, wait_for
from database_tools import as_platform
from qibai.core.roles import Role


def test_reads_are_counted_by_key_and_shown(database: Callable[[], str], tmp_path: Path) -> None:
    dsn = database()
    api = Api(tmp_path / "api", dsn)
    try:
        api.start()
        acme, wang = api.tenant("acme", "70012345678"), api.operator("wang")
        net = api.tenant("net", kind=Role.NETWORK)
        one = api.bind(acme, mode="AXB", order_id="one")
        api.bind(acme, mode="GXB", a=None, members=[A, C], order_id="two")
        began = datetime.now(UTC)
        assert api.call(acme, "GET", f"/v1/bindings/{one['id']}").json()["a"] == A  # 2 numbers
        assert len(api.call(acme, "GET", "/v1/bindings").json()["items"]) == 2  # 2 and 3 numbers
        assert api.call(acme, "PATCH", f"/v1/bindings/{one['id']}", {"ttl": 900}).status_code == 200  # 2
        assert api.call(wang, "GET", "/v1/bindings?tenant=acme").status_code == 200  # masked
        assert api.call(acme, "GET", "/v1/bindings/b12345678-0000000000000").status_code == 404
        asks = {"called": one["x"], "caller": A}
        assert api.call(net, "POST", "/v1/translations", asks).json()["decision"] == "connect"

        def counted() -> dict[str, int]:
            return dict(api.sql("SELECT key_id, numbers FROM key_read"))

        wanted = {acme.key.id: 9, net.key.id: 1}
        wait_for(lambda: counted() == wanted, 30)
        cli = Cli(tmp_path / "api", QIBAI_STORE_DSN=as_platform(dsn))
        (key,) = cli.json("tenant", "key", "list", "acme")
        assert (key["key_id"], key["numbers_read"]) == (acme.key.id, 9)
        assert datetime.fromisoformat(key["last_read_at"]) >= began
        shown = cli.run("tenant", "key", "list", "net").stdout
        assert re.search(rf"{net.key.id}\s+network\s+\S+\s+active\s+1\s+20", shown), shown
        text = niquests.get(api.url + "/metrics").text or ""
        assert 'qibai_real_numbers_read_total{tenant="acme"} 9.0' in text

        assert api.call(acme, "GET", f"/v1/bindings/{one['id']}").status_code == 200
        api.stop()  # what is counted in memory is brought first
        assert counted() == wanted | {acme.key.id: 11}
    finally:
        api.stop()


def test_counts_wait_for_a_database_that_is_away(database: Callable[[], str], tmp_path: Path) -> None:
    api = Api(tmp_path / "api", database())
    try:
        api.start()
        acme = api.tenant("acme", "70012345678")
        one = api.bind(acme, mode="AXB", order_id="one")
        api.sql("ALTER TABLE key_read RENAME TO key_read_away")
        assert api.call(acme, "GET", f"/v1/bindings/{one['id']}").json()["a"] == A
        wait_for(lambda: "wait to be counted" in api.log.read_text(), 30)
        assert api.call(acme, "GET", f"/v1/bindings/{one['id']}").json()["a"] == A
        api.sql("ALTER TABLE key_read_away RENAME TO key_read")
        wait_for(lambda: api.sql("SELECT numbers FROM key_read") == [(4,)], 30)
    finally:
        api.stop()
