"""Somebody complains of a real call: from what they saw and when, to whose it was."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cli_tools import Cli
from up_tools import Both, platform_with_peers, tenant_key

from qibai.client import Client
from voice_tools import A, B, answering, calling

pytestmark = pytest.mark.voice


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    with platform_with_peers(tmp_path) as made:
        made.start()
        yield made


def test_a_call_is_traced_after_its_order_ended_and_its_parties_are_shown_once(
    cli: Cli, tmp_path: Path
) -> None:
    with Client(f"http://127.0.0.1:{cli.config.api.port}", tenant_key(cli)) as client:
        both = Both(cli, client, tmp_path)
        call = both.call(
            calling(A, both.x).pause(100).request("BYE").expect(200),
            answering(B).expect_request("BYE").reply(200),
        )
        client.release(both.binding.id)
    wang = {"QIBAI_API_KEY": cli.json("access", "add", "operator", "wang")["api_key"]}
    li = {"QIBAI_API_KEY": cli.json("access", "add", "operator", "li")["api_key"]}
    now = datetime.now(UTC).isoformat()
    (found,) = cli.json("trace", str(both.x), "--at", now, **wang)["items"]
    assert (found["order_id"], found["tenant"], found["status"]) == ("o1", "one", "released")
    (seen,) = found["calls"]
    assert (seen["id"], seen["reason"]) == (call.id, "answered")
    assert (seen["caller"], seen["callee"]) == (A.masked, B.masked)
    assert cli.json("trace", str(both.x), "--at", now, "--party", "13512345678", **wang)["items"] == []

    cli.run("reveal", call.id, "--why", "case 118", status=1, **wang)
    (asked,) = cli.json("dual", "list")
    cli.run("dual", "approve", asked["id"], **li)
    shown = cli.json("reveal", call.id, "--why", "case 118", **wang)
    assert (shown["caller"], shown["callee"]) == (A.e164, B.e164)
    cli.run("reveal", call.id, "--why", "case 118", status=1, **wang)
    acts = [one["action"] for one in cli.json("audit", "list")]
    assert acts.count("trace") == 2 and acts.count("trace.reveal") == 1
    cli.run("audit", "verify")
