"""Refused calls are found: by the code's owner, by operators, by reason, peer, number and time."""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cli_tools import Cli

from api_tools import A, Api, B, Tenant
from qibai.core.events import CallEvent, CallEventKind
from qibai.core.ids import DistinctIds
from qibai.core.roles import Role
from qibai.store.keys import Keyring, binding_aad
from recorder_tools import merge_events

CODE = 12_345_678
IDS = DistinctIds(1, 1)


@pytest.fixture
def api(tmp_path: Path, database: Callable[[], str]) -> Iterator[Api]:
    server = Api(tmp_path / "api", database())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def acme(api: Api) -> Tenant:
    return api.tenant("acme", f"700{CODE}")


def keep(api: Api, *events: CallEvent) -> None:
    """As the recorder does."""

    async def merge() -> None:
        async with await psycopg.AsyncConnection.connect(api.dsn, autocommit=True) as conn:
            await merge_events(conn, events)

    asyncio.run(merge())


def refused(keyring: Keyring, reason: str, status: int, peer: str, **more: Any) -> CallEvent:
    id, code = IDS.new(), more.pop("code", CODE)
    return CallEvent(
        **{
            "kind": CallEventKind.DECIDED,
            "code": code,
            "call_id": id,
            "at": time.time(),
            "node": "test",
            "called": 1234,
            "caller": keyring.seal(A, binding_aad(code, id)),
            "sip_status": status,
            "reason": reason,
            "ended_by": "platform",
            "caller_peer": peer,
        }
        | more
    )


def test_each_sees_what_it_may(api: Api, acme: Tenant, tmp_path: Path) -> None:
    other = api.tenant("other", "70087654321")
    keyring = Keyring.load(api.config.key_file)
    early = CallEventKind.REFUSED
    keep(
        api,
        refused(keyring, "not_a_party", 403, "east"),
        refused(keyring, "not_bound", 404, "east", called=9),
        refused(keyring, "source_unknown", 403, "192.0.2.7", kind=early, caller=None),
        refused(keyring, "number_malformed", 404, "north", code=-1, called=None),
        refused(keyring, "not_bound", 404, "east", at=time.time() - 7_200, called=7),
    )
    wang, auditor = api.operator("wang"), api.person("zhang", Role.AUDITOR)

    def reasons(who: Tenant, query: str = "") -> list[str]:
        answer = api.call(who, "GET", f"/v1/calls?refused=true{query}")
        assert answer.status_code == 200, answer.text
        assert A[3:] not in (answer.text or "")
        return [one["reason"] for one in answer.json()["items"]]

    mine = ["not_bound", "source_unknown", "not_bound", "not_a_party"]
    assert reasons(acme) == mine
    assert reasons(other) == []
    assert api.call(acme, "GET", "/v1/calls?refused=false").json()["items"] == []
    for who in (wang, auditor):
        assert reasons(who, "&all=true") == ["not_bound", "number_malformed", *mine[1:]]
        assert reasons(who, "&tenant=acme") == mine
        assert api.call(who, "GET", "/v1/calls?tenant=acme&all=true").status_code == 400
    assert reasons(acme, "&reason=not_a_party") == ["not_a_party"]
    assert reasons(acme, "&peer=east") == ["not_bound", "not_bound", "not_a_party"]
    assert reasons(acme, f"&number=700{CODE}1234") == ["source_unknown", "not_a_party"]
    recent = (datetime.now(UTC) - timedelta(hours=1)).isoformat().replace("+", "%2B")
    assert reasons(acme, f"&since={recent}") == mine[1:]
    assert reasons(acme, f"&until={recent}") == ["not_bound"]

    (stranger,) = api.call(acme, "GET", "/v1/calls?reason=source_unknown").json()["items"]
    assert (stranger["caller_peer"], stranger["caller"], stranger["sip_status"]) == (None, None, 403)
    found = {one["reason"]: one for one in api.call(wang, "GET", "/v1/calls?all=true").json()["items"]}
    assert found["source_unknown"]["caller_peer"] == "192.0.2.7"
    assert found["not_a_party"]["caller"] == f"{A[:6]}****{A[-4:]}"
    assert found["not_a_party"]["tenant"] == "acme" and found["number_malformed"]["tenant"] is None
    for one in found.values():
        assert api.call(wang, "GET", f"/v1/calls/{one['id']}?all=true").json() == one
    assert api.call(other, "GET", f"/v1/calls/{stranger['id']}").status_code == 404
    assert api.call(acme, "GET", f"/v1/calls/{found['number_malformed']['id']}?all=true").status_code == 404

    cli = Cli(tmp_path / "home", QIBAI_API_URL=api.url)

    def told(who: Tenant, *options: str) -> list[str]:
        return [one["reason"] for one in cli.json("calls", *options, QIBAI_API_KEY=who.key.bearer)]

    assert told(acme, "--refused") == mine
    assert told(acme, "--refused", "--since", "1h") == mine[1:]
    assert told(acme, "--until", "1h", "--peer", "east") == ["not_bound"]
    assert told(acme, "--number", f"700{CODE}0009", "--reason", "not_bound", "--ended") == ["not_bound"]
    assert told(acme, "--connected") == told(acme, "--live") == []
    assert told(wang, "--peer", "north") == ["number_malformed"]
    assert told(wang, "--tenant", "acme", "--peer", "192.0.2.7") == ["source_unknown"]
    assert "with its zone" in cli.run("calls", "--since", "noon", status=1).stderr
    text = cli.run("calls", "--refused", QIBAI_API_KEY=wang.key.bearer).stdout
    assert "not_a_party" in text and "192.0.2.7" in text and A[3:] not in text


def test_a_platform_sees_its_tenants_alone(api: Api, acme: Tenant) -> None:
    keyring = Keyring.load(api.config.key_file)
    api.sql("INSERT INTO platform (name) VALUES ('south')")
    api.tenant("other", "70087654321")
    api.sql(
        "UPDATE tenant SET platform_id = (SELECT id FROM platform WHERE name = 'south') WHERE name = 'acme'"
    )
    keep(
        api,
        refused(keyring, "not_bound", 404, "east"),
        refused(keyring, "source_unknown", 403, "192.0.2.7", code=87_654_321),
        refused(keyring, "number_malformed", 404, "east", code=-1, called=None),
    )
    (one,) = api.call(api.platform_key("south"), "GET", "/v1/calls?all=true").json()["items"]
    assert (one["tenant"], one["reason"], one["caller"]) == ("acme", "not_bound", None)


def test_a_trace_lists_refused_calls(api: Api, acme: Tenant, tmp_path: Path) -> None:
    made = api.bind(acme, a=A, b=B)
    code, serial = int(made["x"][3:11]), int(made["x"][11:])
    keyring = Keyring.load(api.config.key_file)
    keep(api, refused(keyring, "not_a_party", 403, "east", code=code, called=serial))
    wang = api.operator("wang")
    wanted = {"number": made["x"], "at": datetime.now(UTC).isoformat()}
    answer = api.call(wang, "POST", "/v1/trace", wanted).json()
    assert [one["id"] for one in answer["items"]] == [made["id"]]
    (one,) = answer["refused"]
    assert (one["reason"], one["caller_peer"]) == ("not_a_party", "east") and "****" in one["caller"]
    assert api.call(wang, "POST", "/v1/trace", wanted | {"party": B}).json()["refused"] == []
    cli = Cli(tmp_path / "home", QIBAI_API_URL=api.url)
    shown = cli.run("trace", made["x"], "--at", wanted["at"], QIBAI_API_KEY=wang.key.bearer).stdout
    assert "refused calls" in shown and "not_a_party  from east" in shown
