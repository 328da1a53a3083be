"""Pools counted from real bindings, and told by command, API, metrics, doctor and log."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest
from cli_tools import Cli

from api_tools import Api, Tenant, wait_for
from database_tools import as_platform
from qibai import logs
from qibai.config import BindingConfig, PoolsConfig
from qibai.core.pools import Alert
from qibai.core.roles import Role
from qibai.store.poolcount import PoolCounter, count_pools
from qibai.store.pools import Pool, read_sync

CODES = ["70012345678-70012345679"]


@pytest.fixture
def api(database: Callable[[], str], tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path / "api", database())
    made.config = msgspec.structs.replace(
        made.config, binding=BindingConfig(quarantine_s=3_600), pools=PoolsConfig(count_interval_s=1)
    )
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def acme(api: Api) -> Tenant:
    """A tenant under `east` with two codes, one of them open in Shanghai as well."""
    acme, operator = api.tenant("acme", "70012345678", codes_=2), api.operator("wang")
    for path, body in (
        ("platforms", {"name": "east"}),
        ("platforms/tenants", {"platform": "east", "tenant": "acme"}),
        ("codes/open", {"codes": CODES, "provinces": ["44"]}),
        ("codes/open", {"codes": CODES[0][:11].split(), "provinces": ["31"]}),
    ):
        answer = api.call(operator, "POST", f"/v1/admin/{path}", body)
        assert answer.status_code in (200, 201), answer.text
    return acme


def bind(api: Api, who: Tenant, count: int, scene: str, **more: str) -> dict[str, str]:
    """Numbers by binding; several bindings may share a number."""
    items = [
        more
        | {
            "mode": "AXB",
            "a": f"+86138{i:08d}",
            "b": f"+86139{i:08d}",
            "order_id": f"{scene}-{i}",
            "scene": scene,
        }
        for i in range(count)
    ]
    answer = api.call(who, "POST", "/v1/bindings/bulk", {"items": items}).json()
    return {one["binding"]["id"]: one["binding"]["x"] for one in answer["results"]}


def counted(api: Api) -> dict[tuple[str | None, str | None], Pool]:
    """Acme's pools by province and scene."""
    with psycopg.connect(as_platform(api.dsn), autocommit=True) as conn:
        assert count_pools(conn, api.config, force=True)
        found = read_sync(conn, api.config.pools)
    return {(one.province, one.scene): one for one in found if one.tenant == "acme"}


def test_each_number_is_counted_once_as_what_it_is(api: Api, acme: Tenant) -> None:
    food, ride = bind(api, acme, 40, "food"), bind(api, acme, 10, "ride")
    assert api.call(acme, "POST", "/v1/bindings/bulk-release", {"ids": list(ride)}).status_code == 200
    busy = {*food.values(), *ride.values()}
    idle = next(one for serial in range(51) if (one := f"70012345678{serial:04}") not in busy)
    operator = api.operator("wang2")
    api.call(operator, "POST", "/v1/admin/locks", {"number": idle, "why": "a complaint"})
    found = counted(api)
    ((live,),) = api.sql("SELECT count(DISTINCT (code, serial)) FROM route WHERE ends_at > now()")
    ((rest,),) = api.sql(
        "SELECT count(*) FROM (SELECT FROM route GROUP BY code, serial HAVING max(ends_at) <= now()) q"
    )
    whole = found[None, None]
    assert (whole.total, whole.bound, whole.quarantined) == (20_000, live, rest)
    assert whole.locked == 1
    assert whole.free == 20_000 - live - rest - whole.locked
    assert (live, rest) == (len(set(food.values())), len(busy) - live)
    assert (found["44", None].total, found["31", None].total) == (20_000, 10_000)
    assert (found[None, "food"].bound, found[None, "ride"].bound) == (live, 0)
    assert found[None, "ride"].quarantined == len(set(ride.values()))
    aside = {"codes": CODES, "why": "not carried"}
    assert api.call(operator, "POST", "/v1/admin/codes/set-aside", aside).status_code == 200
    whole = counted(api)[None, None]
    assert (whole.bound, whole.quarantined, whole.free) == (live, rest, 0)
    assert whole.alert is Alert.EXHAUSTED


def grow(api: Api, days: int, each: int) -> None:
    """A history: each day before today, so many fewer numbers were bound."""
    counted(api)
    for day in range(1, days + 1):
        api.sql("INSERT INTO pool_sample SELECT max(at) - %s, 2, 2 FROM pool_sample", timedelta(days=day))
        api.sql(
            """INSERT INTO pool_figure
               SELECT tenant_id, province, scene, at - %s, total, free + %s, bound - %s, quarantined, locked
               FROM pool_figure WHERE at = (SELECT max(at) FROM pool_sample)""",
            timedelta(days=day), day * each, day * each,
        )  # fmt: skip


def test_a_trend_is_told_by_command_api_metrics_doctor_and_log(
    api: Api, acme: Tenant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bind(api, acme, 50, "food", province="31")
    grow(api, 3, 4_000)
    with psycopg.connect(api.dsn) as conn:
        found = next(
            one for one in read_sync(conn, api.config.pools) if one.tenant == "acme" and not one.province
        )
    assert found.alert is Alert.SOON and found.exhausted_at is not None
    days = (found.exhausted_at - datetime.now(UTC)) / timedelta(days=1)
    assert days == pytest.approx(found.free / 4_000, abs=0.01)

    shown = api.call(acme, "GET", "/v1/pools?province=31").json()
    assert [(one["province"], one["scene"], one["alert"]) for one in shown] == [
        ("31", None, "soon"),
        ("31", "food", None),
    ]
    for who, count in ((acme, 6), (api.platform_key("east"), 6), (api.person("zhang", Role.AUDITOR), 6)):
        assert len(api.call(who, "GET", "/v1/pools").json()) == count
    assert api.call(api.tenant("other"), "GET", "/v1/pools").json() == []
    assert api.call(api.tenant("net", kind=Role.NETWORK), "GET", "/v1/pools").status_code == 403

    metrics = api.call(None, "GET", "/metrics").text or ""
    labels = '{platform="east",province="all",scene="all",'
    assert f'qibai_pool_alert{{alert="soon",{labels[1:]}tenant="acme"}} 1.0' in metrics
    assert f'qibai_pool_numbers{labels}state="free",tenant="acme"}} {float(found.free)}' in metrics
    assert 'qibai_codes{state="uncertified"} 2.0' in metrics

    cli = Cli(api.config.home, QIBAI_STORE_DSN=as_platform(api.dsn), QIBAI_API_URL=api.url)
    said = cli.run("pools", "--tenant", "acme").stdout
    assert "soon" in said and "广东" in said and f"{found.exhausted_at:%Y-%m-%dT%H:%M}" in said
    assert cli.json("pools", "--api-key", acme.key.bearer)[0]["alert"] == "soon"
    (check,) = [one for one in cli.json("doctor", status=1)["checks"] if one["name"] == "pools"]
    assert check["state"] == "warn" and "acme (soon:" in check["says"]

    logs.configure()
    counter = PoolCounter(api.config, look_s=0.05)
    counter.start()
    heard = ""

    def logged() -> bool:
        nonlocal heard
        heard += capsys.readouterr().err
        return "alert=soon" in heard or '"alert": "soon"' in heard or "alert=<Alert.SOON" in heard

    try:
        wait_for(logged)
    finally:
        counter.stop()
    assert "acme" in heard


def test_one_counts_for_all_and_old_figures_go(api: Api, acme: Tenant) -> None:
    grow(api, 20, 1)
    with psycopg.connect(as_platform(api.dsn), autocommit=True) as conn:
        hourly = msgspec.structs.replace(api.config, pools=PoolsConfig())
        assert not count_pools(conn, hourly)  # somebody has just counted
        conn.execute("SELECT pg_advisory_lock(7005)")
        with psycopg.connect(as_platform(api.dsn), autocommit=True) as other:
            assert not count_pools(other, api.config)
        conn.execute("SELECT pg_advisory_unlock(7005)")
        assert count_pools(conn, hourly, force=True)
    ((left,),) = api.sql("SELECT count(DISTINCT at) FROM pool_figure")
    assert left == 15  # 14 days and the latest
