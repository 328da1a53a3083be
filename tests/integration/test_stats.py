"""Figures of the last hour, by command and API: each sees what it may."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from cli_tools import Cli

from api_tools import Api, Tenant
from database_tools import as_platform
from qibai.core.events import CallEvent, CallEventKind
from qibai.core.ids import DistinctIds, new_id
from qibai.core.roles import Role
from recorder_tools import answered_call, merge_events

CODE = 12_345_678
IDS = DistinctIds(2, 1)


@pytest.fixture
def api(tmp_path: Path, database: Callable[[], str]) -> Iterator[Api]:
    server = Api(tmp_path / "api", database())
    server.start()
    yield server
    server.stop()


def keep(api: Api, events: list[CallEvent]) -> None:
    async def merge() -> None:
        async with await psycopg.AsyncConnection.connect(api.dsn, autocommit=True) as conn:
            await merge_events(conn, events)

    asyncio.run(merge())


def answered(tenant: int, start: float, peer: str = "west") -> list[CallEvent]:
    """10.5 s, rung after a second."""
    decided, ringing, answer, ended = answered_call(IDS.new(), start=start)
    return [
        msgspec.structs.replace(decided, tenant_id=tenant, caller_peer="east"),
        ringing,
        msgspec.structs.replace(answer, callee_peer=peer),
        msgspec.structs.replace(ended, callee_peer=peer),
    ]


def failed(tenant: int, reason: str, **more: Any) -> list[CallEvent]:
    decided, _, _, ended = answered_call(IDS.new(), start=time.time() - 60)
    return [
        msgspec.structs.replace(decided, tenant_id=tenant, caller_peer="east"),
        msgspec.structs.replace(ended, reason=reason, callee_peer=more.get("peer", "west")),
        *(
            msgspec.structs.replace(ended, kind=CallEventKind.HANDED_ON, gave_up=said, reason=None)
            for said in more.get("gave_up", ())
        ),
    ]


def refused(reason: str, peer: str, **more: Any) -> CallEvent:
    return CallEvent(
        **{
            "kind": CallEventKind.DECIDED,
            "code": CODE,
            "call_id": IDS.new(),
            "at": time.time() - 30,
            "node": "test",
            "called": 5,
            "sip_status": 403,
            "reason": reason,
            "ended_by": "platform",
            "caller_peer": peer,
        }
        | more
    )


def text(api: Api, tenant: int, state: str, out_link: str | None, reason: str | None = None) -> None:
    api.sql(
        """INSERT INTO message (code, id, kind, tenant_id, node, in_link, state, reason, out_link, created_at,
                                valid_until)
           VALUES (%s, %s, 'relay', %s, 'test', 'carrier', %s, %s, %s, now(), now())""",
        *(CODE, new_id(), tenant, state, reason, out_link),
    )


@pytest.fixture
def acme(api: Api) -> Tenant:
    made = api.tenant("acme", f"700{CODE}")
    api.bind(made)
    now = time.time()
    keep(api, [event for start in (now - 90, now - 80) for event in answered(made.id, start)])
    keep(api, answered(made.id, now - 7_200))
    keep(api, failed(made.id, "busy") + failed(made.id, "unreachable", peer="south", gave_up=["503 west"]))
    keep(api, [refused("not_a_party", "east"), refused("source_unknown", "192.0.2.7")])
    keep(api, [refused("number_malformed", "east", code=-1, called=None)])
    for state, link in (("delivered", "mobile"), ("unknown", "mobile"), ("expired", None)):
        text(api, made.id, state, link)
    text(api, made.id, "rejected", None, "not_bound")
    return made


def test_an_operator_sees_all_on_the_machine_and_by_key(api: Api, acme: Tenant) -> None:
    other = api.tenant("other", "70087654321")
    keep(api, answered(other.id, time.time() - 50, "north"))
    cli = Cli(api.config.home, QIBAI_STORE_DSN=as_platform(api.dsn), QIBAI_API_URL=api.url)
    found = cli.json("stats")
    figures = found["calls"]
    assert (figures["seizures"], figures["answered"], figures["refused"]) == (5, 3, 3)
    assert figures["asr"] == pytest.approx(0.6) and figures["ner"] == pytest.approx(0.8)
    assert figures["acd_s"] == pytest.approx(10.5, abs=0.01)
    assert figures["post_dial_delay_s"] == pytest.approx(1.0, abs=0.01)
    reasons = {one["reason"]: (one["count"], one["refused"]) for one in found["reasons"]}
    assert reasons == {
        "busy": (1, False),
        "unreachable": (1, False),
        "not_a_party": (1, True),
        "source_unknown": (1, True),
        "number_malformed": (1, True),
    }
    peers = {one["peer"]: one for one in found["peers"]}
    assert peers["west"] == {
        "peer": "west",
        "tried": 4,
        "answered": 2,
        "failed": {"busy": 1, "gave_up 503": 1},
    }
    assert peers["south"]["failed"] == {"unreachable": 1} and peers["north"]["answered"] == 1
    sources = {one["peer"]: one for one in found["sources"]}
    assert sources["strangers"]["refused"] == {"source_unknown": 1}
    assert sources["east"]["calls"] == 7
    links = {one["link"]: one for one in found["links"]}
    assert (links["carrier"]["accepted"], links["carrier"]["refused"]) == (3, 1)
    assert (links["mobile"]["delivered"], links["mobile"]["doubt"], links[""]["failed"]) == (1, 1, 1)
    assert found["bindings"] == [{"tenant": "acme", "bindings": 1}]
    assert next((one["code"], one["free"]) for one in found["codes"]) == (f"700{CODE}", 9_998)
    node = found["node"]
    assert (node["node"], node["spool_bytes"], node["backup_at"]) == (cli.config.node, 0, None)
    assert cli.json("stats", "--last", "3h")["calls"]["answered"] == 4
    assert cli.json("stats", "--tenant", "other")["calls"]["seizures"] == 1

    wang = api.operator("wang")
    asked = cli.json("stats", "--api-key", wang.key.bearer)
    assert asked.pop("node") is None
    same = [key for key in asked if key not in ("since", "until")]
    assert {key: asked[key] for key in same} == {key: found[key] for key in same}
    shown = cli.run("stats").stdout
    for said in ("60.0 %", "80.0 %", "gave_up 503 1", "strangers", "last backup never", "9998 of 10000"):
        assert said in shown
    assert "--last" in cli.run("stats", "--help").stdout
    assert "1h or 2d" in cli.run("stats", "--last", "soon", status=1).stderr
    assert "from 1min to 7d" in cli.run("stats", "--last", "8d", status=1).stderr


def test_others_see_no_further_than_they_reach(api: Api, acme: Tenant) -> None:
    other = api.tenant("other", "70087654321")
    mine = api.call(acme, "GET", "/v1/stats").json()
    assert (mine["calls"]["seizures"], mine["calls"]["refused"]) == (4, 2)
    assert [one["tenant"] for one in mine["bindings"]] == ["acme"]
    theirs = api.call(other, "GET", "/v1/stats").json()
    assert (theirs["calls"]["seizures"], theirs["reasons"], theirs["links"]) == (0, [], [])
    assert [one["code"] for one in theirs["codes"]] == ["70087654321"]
    api.sql("INSERT INTO platform (name) VALUES ('south')")
    api.sql("UPDATE tenant SET platform_id = (SELECT max(id) FROM platform) WHERE name = 'acme'")
    south, auditor = api.platform_key("south"), api.person("zhang", Role.AUDITOR)
    assert api.call(south, "GET", "/v1/stats").json()["calls"] == mine["calls"]
    assert api.call(south, "GET", "/v1/stats?tenant=other").status_code == 404
    assert api.call(auditor, "GET", "/v1/stats").json()["calls"]["refused"] == 3
    assert api.call(auditor, "GET", "/v1/stats?tenant=acme").json()["calls"] == mine["calls"]
    assert api.call(api.tenant("net", kind=Role.NETWORK), "GET", "/v1/stats").status_code == 403
    assert api.call(acme, "GET", "/v1/stats?tenant=other").status_code == 403
    assert api.call(acme, "GET", "/v1/stats?last=5").status_code in (400, 422)
