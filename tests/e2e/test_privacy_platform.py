"""Whatever a platform writes, answers or shows besides a tenant's own data: no real number is in it."""

import json
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from cli_tools import Cli
from up_tools import platform_with_peers, tenant_key

from qibai.core.numbering import Msisdn
from qibai.store import owner_dsn
from qibai.testing.leaks import Leak, LeakChecker
from qibai.testing.platform import free_port, listening, wait_for
from qibai.testing.sipp import Scenario, run
from voice_tools import CALLEE_AT, CALLER_AT, answering, calling

pytestmark = pytest.mark.voice

A, B, C = Msisdn("+8615273940618"), Msisdn("+8618640927351"), Msisdn("+8617391058264")
CHECKER = LeakChecker({"A": A, "B": B, "C": C})


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    with platform_with_peers(tmp_path_factory.mktemp("all")) as made:
        made.start()
        made.env["QIBAI_API_KEY"] = tenant_key(made)
        yield made


class Answer(NamedTuple):
    status: int
    body: str
    headers: str


def ask(cli: Cli, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    request = urllib.request.Request(  # our own
        f"http://127.0.0.1:{cli.config.api.port}{path}",
        body,
        {
            "Authorization": f"Bearer {cli.env['QIBAI_API_KEY']}",
            "Content-Type": "application/json",
            **headers,
        },
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return Answer(answer.status, answer.read().decode(), str(answer.headers))
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode(), str(error.headers))


def post(cli: Cli, path: str, value: Any, **headers: str) -> Answer:
    return ask(cli, "POST", path, json.dumps(value).encode(), **headers)


@pytest.fixture(scope="module")
def bound(cli: Cli) -> dict[str, Any]:
    """A binding of A and B."""
    item = {"mode": "AXYB", "a": A.e164, "b": B.e164, "order_id": "privacy-1"}
    answer = post(cli, "/v1/bindings", item)
    assert answer.status == 201
    made: dict[str, Any] = json.loads(answer.body)
    return made


def dial(cli: Cli, folder: Path, caller: Scenario, callee: Scenario | None) -> None:
    voice = cli.config.voice
    at = (CALLEE_AT, voice.peers[0].port)
    far = run(callee, folder, "callee", local=at) if callee else None
    if far is not None:
        wait_for(lambda: listening(at), "the callee")
    remote = (voice.host, voice.udp_port)
    near = run(caller, folder, "caller", local=(CALLER_AT, free_port(CALLER_AT)), remote=remote)
    try:
        near.wait()
        if far is not None:
            far.wait()
    finally:
        near.stop()
        if far is not None:
            far.stop()


@pytest.fixture(scope="module")
def used(cli: Cli, bound: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Calls that go through, calls that are refused, and nonsense."""
    folder = tmp_path_factory.mktemp("sipp")
    for caller, callee, number in ((A, B, bound["x"]), (B, A, bound["y"])):
        talk = calling(caller, number).request("BYE").expect(200)
        dial(cli, folder, talk, answering(callee).expect_request("BYE").reply(200))
    for who, called, status in ((C, bound["x"], 403), (A, C.national, 404), (A, f"700{A.national}9", 404)):
        refused = Scenario(who.national).invite(called).expect(100, optional=True).expect(status)
        dial(cli, folder, refused.fail_ack(called), None)
    twice = (
        f"Session-Expires: {C.national}",
        f"Session-Expires: {C.national}",
    )  # which our own reader refuses
    bad = Scenario(C.national).invite(bound["x"], headers=twice).expect(400)
    dial(cli, folder, bad.fail_ack(bound["x"]), None)
    voice = cli.config.voice
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:  # Kamailio's core itself cannot read these
        raw.bind((CALLER_AT, 0))
        for text in nonsense(bound["x"]):
            raw.sendto(text.encode(), (voice.host, voice.udp_port))
    wait_for(lambda: len(json.loads(ask(cli, "GET", "/v1/calls").body)["items"]) >= 2, "the records")


def nonsense(called: str) -> Iterator[str]:
    """INVITEs that a SIP parser stumbles over, at a number."""
    c = C.national
    lines = [
        f"INVITE sip:{called}@here SIP/2.0",
        f"Via: SIP/2.0/UDP {CALLER_AT};rport;branch=z9hG4bKnonsense",
        f'From: "{c}" <sip:{c}@there>;tag=1',
        f"To: <sip:{called}@here>",
        f"Call-ID: {c}",
        "CSeq: 1 INVITE",
        f"Contact: <sip:{c}@{CALLER_AT}>",
        "Max-Forwards: 70",
        "Content-Length: 0",
    ]
    yield f"{c}\r\n{c}\r\n\r\n"
    yield f"INVITE {c}\r\n\r\n"
    for number in range(len(lines)):
        name = lines[number].partition(":")[0]
        for wrong in (
            f"{name}: {c}",
            f"{name}: <{c}",
            f'{name}: "{c}\x01',
            f"{name} {c}",
            f"{name}: {c}\r\n{c}",
        ):
            yield "\r\n".join([*lines[:number], wrong, *lines[number + 1 :], "", f"v=0 {c}"])
        yield "\r\n".join([*lines, f"{name}: {c}", "", ""])
        yield "\r\n".join([*lines[:number], "", "", c])


def malformed(bound: dict[str, Any]) -> Iterator[tuple[str, str, bytes | None, dict[str, str]]]:
    """Requests that are refused, with numbers wherever one fits."""
    good = {"mode": "AXB", "a": A.e164, "b": B.e164, "order_id": "o"}
    items: list[Any] = [
        good | {"a": A.national + "9"},
        good | {"a": f"+1{A.national}"},
        good | {"a": int(A.national)},
        good | {"a": [A.national]},
        good | {"a": B.national},
        good | {"a": "".join(chr(0xFF10 + int(digit)) for digit in A.national)},
        good | {"mode": A.national},
        good | {"scene": A.national},
        good | {"province": A.national},
        good | {"x": A.national},
        good | {"x": f"700{A.national}1"},
        good | {"ttl": int(A.national)},
        good | {"ttl": A.national},
        good | {"expires_at": A.national},
        good | {"expires_at": f"{A.national}-01-01T00:00:00Z"},
        good | {"order_id": A.national * 40},
        good | {A.national: 1},
        good | {"members": [A.e164, C.e164]},
        {"mode": "GXB", "b": B.e164, "order_id": "o", "members": [A.e164, A.e164]},
        {"mode": "GXB", "b": B.e164, "order_id": "o", "members": [C.national] * 300},
        A.national,
        [A.national],
    ]
    for item in items:
        yield "POST", "/v1/bindings", json.dumps(item).encode(), {}
    yield "POST", "/v1/bindings", f'{{"a": "{A}", "b": {B}'.encode(), {}
    yield "POST", "/v1/bindings", f"a={A.e164}&b={B.e164}".encode(), {}
    yield "POST", "/v1/bindings", json.dumps(good).encode(), {"Idempotency-Key": A.national * 30}
    yield "POST", "/v1/bindings", json.dumps(good).encode(), {"Authorization": f"Bearer {A.national}"}
    yield "POST", "/v1/bindings/bulk", json.dumps({"items": A.national}).encode(), {}
    for path in (
        f"/v1/bindings/{A.national}",
        f"/v1/bindings/b{A.national}-{B.national}",
        f"/v1/calls/{A.national}",
        f"/v1/{A.national}",
        f"/{A.e164}?b={B.e164}",
        f"/v1/bindings?number={A.national}",
        f"/v1/bindings?cursor={A.national}",
        f"/v1/bindings?limit={A.national}",
        f"/v1/calls?since={A.national}",
        f"/v1/calls?number={A.national}",
        f"/v1/codes/{A.national}",
    ):
        yield "GET", path, None, {}
    yield "DELETE", f"/v1/{A.national}", None, {}
    yield "PATCH", f"/v1/bindings/{bound['id']}", json.dumps({"a": A.national + "0"}).encode(), {}
    yield "PATCH", f"/v1/bindings/{bound['id']}", json.dumps({"a": B.national}).encode(), {}
    yield "POST", "/v1/translations", json.dumps({"called": A.national, "caller": "x"}).encode(), {}
    yield "POST", f"/v1/calls/{A.national}/terminate", None, {}


def test_no_problem_repeats_a_number(cli: Cli, bound: dict[str, Any]) -> None:
    leaks: list[str] = []
    for method, path, body, headers in malformed(bound):
        answer = ask(cli, method, path, body, **headers)
        assert 400 <= answer.status < 500, (method, path, body, answer)
        found = CHECKER.scan_text(answer.body, answer.headers, where=f"{method} {path} {body!r:.80}")
        leaks += map(str, found)
    assert leaks == []


@pytest.mark.usefixtures("used")
def test_public_pages_tell_no_number(cli: Cli) -> None:
    for path in ("/metrics", "/healthz", "/readyz", "/openapi.json", "/docs/index.html", "/docs/errors.html"):
        answer = ask(cli, "GET", path)
        assert answer.status == 200, path
        assert CHECKER.scan_text(answer.body, answer.headers, where=path) == []


@pytest.mark.usefixtures("used")
def test_commands_tell_no_number(cli: Cli, bound: dict[str, Any]) -> None:
    """But to the tenant whose own binding it is: ``show --json``, ``calls --json``."""
    said = [
        cli.run("doctor"),
        cli.run("status"),
        cli.run("tenant", "list"),
        cli.run("code", "list"),
        cli.run("config"),
        cli.run("calls"),
        cli.run("show", bound["x"]),
        cli.run("route", bound["x"], A.national),
        cli.run("route", bound["x"], C.national, status=4),
        cli.run("route", A.national, C.national, status=4),
        cli.run("show", A.national, status=1),
        cli.run("release", A.national, status=1),
        cli.run("terminate", A.national, status=1),
        cli.run("bind", "--order", "o", status=1, QIBAI_A=A.national, QIBAI_B=A.national),
        cli.run("bind", "--order", "o", status=1, QIBAI_A=A.national + "7", QIBAI_B=B.national),
    ]
    leaks = [
        leak for one in said for leak in CHECKER.scan_text(one.stdout, one.stderr, where=str(one.args[3:]))
    ]
    assert leaks == []
    assert A.e164 in cli.run("show", bound["x"], "--reveal").stdout


@pytest.mark.usefixtures("bound")
def test_numbers_are_read_from_standard_input(cli: Cli) -> None:
    """Given as ``-``, they are on no command line."""
    command = [*cli.command, "bind", "--a", "-", "--b", "-", "--order", "stdin", "--json"]
    lines = f"{C.national}\n{A.national}\n"
    done = subprocess.run(
        command, input=lines, env=cli.env, capture_output=True, text=True, timeout=60, check=True
    )
    made = json.loads(done.stdout)
    assert (made["a"], made["b"]) == tuple(f"+86{one.masked}" for one in (C, A))


@pytest.mark.usefixtures("used")
def test_files_hold_no_number(cli: Cli) -> None:
    """Configuration, logs, spool, the database's pages and its log of changes."""
    with psycopg.connect(owner_dsn(cli.config), autocommit=True) as conn:
        conn.execute("CHECKPOINT")
        assert conn.execute("SELECT count(*) > 0 FROM route").fetchone() == (True,)
    log = cli.home.parent / "up.log"
    assert log.stat().st_size
    assert any(cli.config.spool_dir.iterdir())
    assert CHECKER.scan_files([cli.home, log]) == []


@pytest.mark.usefixtures("used")
def test_processes_hold_no_number_in_what_others_may_read(cli: Cli) -> None:
    """Their arguments and environments."""
    found = cli.processes()
    assert len(found) > 5
    assert leaks_of_processes(found) == []


def leaks_of_processes(pids: list[int]) -> list[Leak]:
    leaks = []
    for pid in pids:
        for name in ("cmdline", "environ"):
            leaks += CHECKER.scan(Path(f"/proc/{pid}/{name}").read_bytes(), f"{name} of {pid}")
    return leaks


def test_the_scans_find_what_is_there(tmp_path: Path) -> None:
    planted = tmp_path / "deep" / "page"
    planted.parent.mkdir()
    planted.write_bytes(b"\0" * 5_000 + A.national.encode() + b"\0" * 5_000)
    assert CHECKER.scan_files([tmp_path])
    assert CHECKER.scan_text(f'{{"detail": "{B.national} is bound"}}')
    with subprocess.Popen(["sleep", "30"], env={"X": C.e164}) as process:
        try:
            wait_for(lambda: leaks_of_processes([process.pid]), "the planted number")
        finally:
            process.kill()
