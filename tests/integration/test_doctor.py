"""``qibai doctor`` names what is wrong, fault by fault, and says how to mend it."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from cli_tools import Cli, cli_in
from psycopg.conninfo import make_conninfo

from qibai.core.ids import DistinctIds
from qibai.store import dsn, owner_dsn
from qibai.testing.platform import free_port, wait_for
from qibai.testing.ports import own_network
from voice_tools import UdpPeer

pytestmark = pytest.mark.voice

WEST, EAST = f"{own_network()}.51.1", f"{own_network()}.52.1"


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    home = tmp_path_factory.mktemp("doctor") / "home"
    with cli_in(home, QIBAI_VOICE_PROBE_INTERVAL_S="1") as made:
        home.mkdir()
        made.config.file.write_text(
            f'[[voice.peers]]\nname = "west"\nhost = "{WEST}"\nport = {free_port(WEST)}\n'
            f'[[voice.peers]]\nname = "east"\nhost = "{EAST}"\nport = {free_port(EAST)}\npriority = 5\n'
        )
        made.start()
        yield made


def found(cli: Cli, name: str, **env: str) -> dict[str, Any]:
    """What the doctor says of one part; whatever is not well has a mend."""
    done = cli.run("doctor", "--json", status=None, **env)
    report = msgspec.json.decode(done.stdout)
    states = {one["state"] for one in report["checks"]}
    assert done.returncode == (1 if "fail" in states else 0)
    assert all(one["mend"] for one in report["checks"] if one["state"] in ("fail", "warn"))
    one: dict[str, Any]
    (one,) = (one for one in report["checks"] if one["name"] == name)
    return one


def test_peers_that_do_not_answer(cli: Cli) -> None:
    """None, then one of two, then all."""
    west, east = ((peer.host, peer.port) for peer in cli.config.voice.peers)

    def peers() -> tuple[str, str]:
        one = found(cli, "peers")
        return one["state"], one["says"]

    wait_for(lambda: peers() == ("fail", "no answer from any that takes calls: west, east"), "no peer", 30)
    with UdpPeer(east):
        wait_for(lambda: peers() == ("warn", "no answer from west: calls go to the others"), "one peer", 30)
        with UdpPeer(west):
            wait_for(lambda: peers() == ("ok", "2 (west, east)"), "both peers", 30)


@pytest.mark.parametrize(
    ("part", "check", "says"),
    [
        ("kamailio", "voice", "Kamailio does not answer"),
        ("rtpengine", "media", "rtpengine does not answer"),
        ("recorder", "spool", "the recorder has been silent"),
        ("api", "api", "does not answer"),
    ],
)
def test_a_part_that_hangs(cli: Cli, part: str, check: str, says: str) -> None:
    pids = [pid for pid in cli.processes() if os.getpgid(pid) == os.getpgid(cli.parts()[part]["pid"])]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: found(cli, check)["state"] == "fail", f"the doctor on {part}", 60)
        one = found(cli, check)
        assert says in one["says"]
        assert one["mend"]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    wait_for(lambda: found(cli, check)["state"] == "ok", f"{part} is well again", 60)


def test_a_key_file_of_another_database(cli: Cli, tmp_path: Path) -> None:
    """Before anything is bound as well as after; a platform does not start with it."""
    with cli_in(tmp_path / "home", QIBAI_VOICE_ENABLED="false") as other:
        other.run("up", "--detach")
        mine = other.config.key_file.read_bytes()
        assert found(other, "keys")["state"] == "ok"
        key = other.json("tenant", "add", "acme")["api_key"]
        other.config.key_file.write_bytes(cli.config.key_file.read_bytes())
        assert found(other, "keys")["state"] == "fail"
        other.config.key_file.write_bytes(mine)
        assert found(other, "keys")["state"] == "ok"
        other.run("code", "add", "70010000001", "--tenant", "acme")
        parties = ("--a", "13800138000", "--b", "13900139000", "--order", "o")
        other.run("bind", *parties, QIBAI_API_KEY=key)
        other.run("down")

        other.config.key_file.write_bytes(cli.config.key_file.read_bytes())
        refused = other.run("up", status=1)
        assert "key_file" in refused.stderr
        assert "restore" in refused.stderr
        other.config.key_file.unlink()
        for command in (("up",), ("init",), ("demo",), ("tenant", "add", "globex")):
            refused = other.run(*command, status=1)
            assert "key_file" in refused.stderr
            assert not other.config.key_file.exists(), command
        other.config.key_file.write_bytes(mine)
        other.config.key_file.chmod(0o600)
        other.run("up", "--detach")
        assert found(other, "keys")["state"] == "ok"


def test_a_database_that_hangs_holds_neither_status_nor_doctor_up(cli: Cli) -> None:
    """It takes connections and says nothing."""
    pid = cli.parts()["postgres"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        for command in ("status", "doctor"):
            done = subprocess.run(
                [*cli.command, command, "--json"],
                env=cli.env,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode in (1, 3) and "postgres" in done.stdout.lower(), done
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(cli.all_ready, "all is well again", 60)


def test_a_damaged_key_file(cli: Cli) -> None:
    text = cli.config.key_file.read_bytes()
    cli.config.key_file.write_bytes(text[:-20])
    try:
        one = found(cli, "key file")
    finally:
        cli.config.key_file.write_bytes(text)
    assert (one["state"], one["mend"]) == ("fail", "restore it from its backup")


def test_a_database_that_is_down(cli: Cli) -> None:
    one = found(cli, "store", QIBAI_STORE_DSN="host=127.0.0.1 port=9 dbname=none")
    assert (one["state"], one["mend"]) == ("fail", "check store.dsn and that the server runs")
    assert one["says"] == "the database does not answer"


@pytest.mark.parametrize(
    ("missing", "words"), [("user", "no password supplied"), ("dbname", 'database "nobody" does not exist')]
)
def test_a_role_or_a_database_that_is_missing(cli: Cli, missing: str, words: str) -> None:
    """The server answers: its own words say what is wrong."""
    where = make_conninfo(dsn(cli.config), **{missing: "nobody"})
    one = found(cli, "store", QIBAI_STORE_DSN=where)
    assert one["says"] == f"the database refuses the connection: {words}"
    refused = cli.run("tenant", "list", status=1, QIBAI_STORE_DSN=where).stderr
    assert "store_unavailable" in refused and f"refuses the connection: {words}" in refused


def test_a_port_that_another_program_has(tmp_path: Path) -> None:
    with cli_in(tmp_path / "home") as cli, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        cli.run("init")
        taken.bind(("127.0.0.1", cli.config.voice.udp_port))
        one = found(cli, "voice")
    assert one["state"] == "fail"
    assert f"port {cli.config.voice.udp_port} is used by" in one["mend"]


def test_events_that_wait_for_the_store(cli: Cli) -> None:
    """As the recorder tells it while its database is away."""
    state = cli.config.run_dir / "recorder.json"
    pid = cli.parts()["recorder"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        said = msgspec.json.decode(state.read_bytes())
        state.write_bytes(msgspec.json.encode(said | {"store_up": False, "backlog_bytes": 4096}))
        one = found(cli, "spool")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (one["state"], one["mend"]) == ("fail", "mend the store")
    assert one["says"].startswith("4096 bytes wait")


def test_two_nodes_of_one_number(cli: Cli) -> None:
    """Their calls could come to share an id, and so a record."""
    assert found(cli, "node")["state"] == "ok"
    id = DistinctIds(cli.config.node_number, 0).new()
    with psycopg.connect(owner_dsn(cli.config)) as conn:
        conn.execute("INSERT INTO call (code, id, node, started_at) VALUES (-1, %s, 'twin', now())", [id])
    one = found(cli, "node")
    assert one["state"] == "warn"
    assert f"{cli.config.node} and twin both have the number" in one["says"]
    own = str((cli.config.node_number + 1) % 128)
    assert found(cli, "node", QIBAI_VOICE_NODE_NUMBER=own)["state"] == "ok"


def test_a_clock_that_is_off(cli: Cli) -> None:
    """The server's, as a function of the same name tells it."""
    with psycopg.connect(owner_dsn(cli.config)) as conn:
        conn.execute("CREATE SCHEMA skew")
        conn.execute("GRANT USAGE ON SCHEMA skew TO PUBLIC")
        conn.execute(
            "CREATE FUNCTION skew.clock_timestamp() RETURNS timestamptz LANGUAGE sql "
            "RETURN pg_catalog.clock_timestamp() + interval '90 seconds'"
        )
    skewed = psycopg.conninfo.make_conninfo(dsn(cli.config), options="-c search_path=skew,pg_catalog,public")
    one = found(cli, "clock", QIBAI_STORE_DSN=skewed)
    assert one["state"] == "fail"
    assert one["says"] == "this machine and PostgreSQL are 90 s apart"
