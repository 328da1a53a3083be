"""Commands on a real platform: administration, doctor, JSON, exit statuses."""

import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cli_tools import Cli, cli_in

from qibai.store import dsn

A, B = "13800138000", "13900139000"
pytestmark = pytest.mark.voice


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    with cli_in(tmp_path_factory.mktemp("cli") / "home") as made:
        made.run("init")
        made.run("up", "--detach")
        made.run("dual", "rule", "1")
        yield made


@pytest.fixture(scope="module")
def key(cli: Cli) -> str:
    made: str = cli.json("tenant", "add", "acme")["api_key"]
    cli.json("code", "add", "70010000001", "70010000010-70010000012", "--tenant", "acme", "--province", "44")
    return made


def test_init_makes_private_files_and_leaves_them_alone(tmp_path: Path) -> None:
    with cli_in(tmp_path / "home") as cli:
        assert cli.json("init")["made"] == ["qibai.toml", "keys.json"]
        assert stat.S_IMODE((cli.home / "keys.json").stat().st_mode) == 0o600
        assert cli.json("init")["made"] == []
        assert cli.json("config")["api"]["port"] == int(cli.env["QIBAI_API_PORT"])


def test_status_and_doctor_of_a_healthy_platform(cli: Cli) -> None:
    status = cli.json("status")
    assert set(status["parts"]) == {"postgres", "recorder", "gateway", "api", "rtpengine", "kamailio"}
    report = cli.json("doctor")
    (pilot,) = (one for one in report["checks"] if one["name"] == "pilot")
    assert pilot["state"] == "warn" and "NOT asked" in pilot["says"]
    assert report["ok"]
    names = "versions,key file,disk,store,clock,schema,database role,api,voice,media,spool"
    assert {one["name"] for one in report["checks"]} >= set(names.split(","))


def test_doctor_finds_a_key_file_that_others_can_read(cli: Cli) -> None:
    cli.config.key_file.chmod(0o644)
    try:
        bad = [one for one in cli.json("doctor", status=1)["checks"] if one["state"] == "fail"]
    finally:
        cli.config.key_file.chmod(0o600)
    assert [one["name"] for one in bad] == ["key file"]
    assert bad[0]["mend"].startswith("chmod 600")


def test_doctor_finds_what_does_not_run(tmp_path: Path) -> None:
    with cli_in(tmp_path / "home") as cli:
        cli.run("init")
        report = cli.json("doctor", status=1)
        bad = {one["name"] for one in report["checks"] if one["state"] == "fail"}
        assert bad == {"store", "api", "voice", "media"}
        assert all(one["mend"] for one in report["checks"] if one["state"] == "fail")
        assert cli.run("status", status=3).stdout == ""


def test_tenants_and_their_keys(cli: Cli, key: str) -> None:
    assert [one["name"] for one in cli.json("tenant", "list")] == ["acme"]
    assert "conflict" in cli.run("tenant", "add", "acme", status=1).stderr
    more = cli.json("tenant", "key", "add", "acme")
    cli.json("tenant", "key", "revoke", more["key_id"])
    states = {one["key_id"]: one["revoked_at"] for one in cli.json("tenant", "key", "list", "acme")}
    assert states[more["key_id"]] is not None
    assert list(states.values()).count(None) == 1
    assert "tenant_not_found" in cli.run("tenant", "disable", "nobody", status=1).stderr


def test_codes_by_range(cli: Cli, key: str) -> None:
    listed = cli.json("code", "list", "--tenant", "acme")
    assert [one["code"] for one in listed] == ["70010000001", "70010000010", "70010000011", "70010000012"]
    assert {one["province"] for one in listed} == {"44"}
    assert "code_malformed" in cli.run("code", "add", "123", "--tenant", "acme", status=1).stderr


def test_bind_show_route_release(cli: Cli, key: str) -> None:
    order = ("--order", "o-1", "--max-call", "90")
    bound = cli.json("bind", "--mode", "AXYB", "--a", A, "--b", B, *order, QIBAI_API_KEY=key)
    assert bound["max_call_s"] == 90
    assert [one["id"] for one in cli.json("show", bound["x"], QIBAI_API_KEY=key)] == [bound["id"]]
    route = cli.json("route", bound["x"], A)
    assert (route["decision"], route["shown"]) == ("connect", bound["y"])
    assert A not in str(route)
    assert B not in str(route)
    assert cli.json("route", bound["x"], B, status=4)["reason"] == "not_a_party"
    assert cli.json("release", bound["id"], QIBAI_API_KEY=key)["status"] == "released"
    assert cli.json("route", bound["x"], A, status=4)["reason"] == "order_ended"
    assert cli.json("calls", QIBAI_API_KEY=key) == []


def test_the_saved_key_is_private_and_used(cli: Cli, key: str) -> None:
    assert "unauthenticated" in cli.run("calls", status=1).stderr
    cli.run("login", QIBAI_API_KEY=key)
    saved = cli.home / "cli.json"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert cli.json("calls") == []
    saved.chmod(0o644)
    assert "key_file" in cli.run("calls", status=1).stderr
    saved.unlink()


def test_keys_are_rotated_while_everything_runs(cli: Cli, key: str) -> None:
    bound = cli.json("bind", "--a", A, "--b", B, "--order", "o-2", QIBAI_API_KEY=key)
    with psycopg.connect(dsn(cli.config), autocommit=True) as conn:
        conn.execute("INSERT INTO message_node VALUES ('other', 1, now(), NULL, '{\"hash\": 1}')")
        refused = cli.run("keys", "rotate", "--hash", status=1).stderr
        assert "error conflict: other would not have the new key: give `qibai keys prepare`" in refused
        assert cli.json("keys", "prepare") == {"value": 2, "hash": 2, "token": 2}
        conn.execute("UPDATE message_node SET seen_at = now(), keys = '{\"hash\": 2}' WHERE node = 'other'")
        assert cli.json("keys", "rotate", "--hash")["id"] == 2
        conn.execute("DELETE FROM message_node WHERE node = 'other'")
    assert cli.json("keys", "rotate", "--token")["id"] == 2
    assert cli.json("route", bound["x"], A)["decision"] == "connect"
    assert cli.json("doctor")["ok"]


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (["nonsense"], 2, "usage"),
        (["bind"], 2, "usage"),
        (["route", "123", A], 1, "number_700_malformed"),
        (["route", "700100000010001", "123"], 1, "number_malformed"),
        (["release", "b00000000-0000000000000", "--api-key", "qb_a_b"], 1, "unauthenticated"),
        (["keys", "rotate", "--hash", "--token"], 1, "request_invalid"),
        (["release", "700100000019477", "--api-key", "qb_a_b"], 1, "request_invalid"),
        (["login", "--api-key", "qb_nonsense"], 1, "request_invalid"),
        (["--home", "/nowhere", "tenant", "list"], 1, "store_unavailable"),
    ],
)
def test_failures_are_one_sentence_with_a_code(cli: Cli, args: list[str], status: int, says: str) -> None:
    failed = cli.run(*args, status=status)
    assert failed.stdout == ""
    assert failed.stderr.startswith(f"error {says}: ")
    assert len(failed.stderr.strip().splitlines()) == 1


def test_a_folder_without_a_home_is_named(cli: Cli, tmp_path: Path) -> None:
    """Whoever forgot QIBAI_HOME is not sent to start another platform there."""
    said = cli.run("--home", str(tmp_path), "tenant", "list", status=1).stderr
    assert f"{tmp_path} is no home of a platform: give --home or QIBAI_HOME" in said
    said = cli.run("--home", str(tmp_path), "restore", str(tmp_path), "--check", status=1).stderr
    assert "give the backup's key file, --keys FILE" in said


def test_a_wrong_configuration_names_the_key(cli: Cli) -> None:
    failed = cli.run("config", status=1, QIBAI_API_WORKERS="many")
    assert "config_invalid" in failed.stderr
    assert "workers" in failed.stderr


def test_down_stops_everything(tmp_path: Path) -> None:
    with cli_in(tmp_path / "home", QIBAI_VOICE_ENABLED="false") as cli:
        assert cli.json("up", "--detach")["started"]
        assert set(cli.parts()) == {"postgres", "recorder", "gateway", "api"}
        assert cli.json("down")["stopped"]
        assert cli.processes() == []
        assert cli.json("down")["stopped"] is False


@pytest.mark.usefixtures("key")
def test_what_is_done_with_the_text_of_messages(cli: Cli) -> None:
    assert cli.json("tenant", "messages", "acme")["numbers"] == "mask"
    set_ = cli.json(
        *(
            "tenant",
            "messages",
            "acme",
            "--hook",
            "ask",
            "--url",
            "https://shop.example/",
            "--timeout-ms",
            "300",
        )
    )
    assert set_["secret"].startswith("whsec_")
    again = cli.json("tenant", "messages", "acme", "--numbers", "block")
    assert (again["numbers"], again["hook"], again["timeout_ms"]) == ("block", "ask", 300)
    assert "secret" not in cli.json("tenant", "messages", "acme")
    cli.run("tenant", "messages", "acme", "--hook", "ask", "--url", "ftp://shop.example/", status=1)
