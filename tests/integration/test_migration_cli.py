"""``qibai migrate-bindings`` as operators run it: plan, execute, kill, go on, cut over, roll back, result."""

import csv
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cli_tools import Cli, cli_in

from migration_tools import check_whole, count, jsonl, number, old
from qibai.store.existing.model import BATCH
from qibai.testing.platform import wait_for

MOVED = "SELECT count(*) FROM existing_binding WHERE new_id IS NOT NULL"


@pytest.fixture
def cli(database: Callable[[], str], tmp_path: Path) -> Iterator[Cli]:
    with cli_in(tmp_path / "home", QIBAI_STORE_DSN=database()) as made:
        made.run("init")
        made.run("tenant", "add", "acme")
        made.run("code", "add", "70012345678", "70012345679", "--tenant", "acme")
        yield made


def dsn_of(cli: Cli) -> str:
    return cli.env["QIBAI_STORE_DSN"]


def written(file: Path, *rows: Any) -> str:
    file.write_text(jsonl(*rows))
    return str(file)


def test_a_plan_says_what_would_be_and_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    file = written(tmp_path / "old.jsonl", old(1), old(2), old(2), old(3, a="13800"), old(4, order_id=None))
    plan = cli.json("migrate-bindings", "plan", file, "--tenant", "acme", status=1)
    assert (plan["bindings"], plan["good"], plan["rejected"]) == (5, 2, 3)
    assert plan["bad"] == {"repeated": 1, "number_malformed": 1, "request_invalid": 1}
    assert (plan["numbers"], plan["reused"], plan["modes"]) == (1, 1, {"AXB": 3})
    (room,) = plan["rooms"]
    assert (room["codes"], room["free"], room["refused"], plan["in_the_way"]) == (2, 20_000, None, [])
    for table in ("existing_binding", "existing_route", "migration", "existing_business", "binding"):
        assert count(dsn_of(cli), f"SELECT count(*) FROM {table}") == 0  # noqa: S608
    shown = cli.run("migrate-bindings", "plan", file, "--tenant", "acme", status=1)
    assert "line 3, binding 1: the same binding stands on line 2" in shown.stderr
    assert not any(old(n)[party][3:] in shown.stdout + shown.stderr for n in range(5) for party in "xab")


def test_it_is_executed_cut_over_and_rolled_back(cli: Cli, tmp_path: Path) -> None:
    rows = [*(old(n) for n in range(30)), old(90, b="+8613812")]
    file = written(tmp_path / "old.jsonl", *rows)
    done = cli.json("migrate-bindings", "execute", file, "--tenant", "acme", status=1)
    assert (done["moved"], done["rejected"], done["stopped"]) == (30, 1, None)
    rejected = Path(done["bad_file"])
    reason = '"b: This is not a number we can read. (+86*****, 8 characters)"'
    assert rejected.read_text() == f"line,binding,code,reason\n31,1,number_malformed,{reason}\n"
    result = tmp_path / "moved.csv"
    cli.run("migrate-bindings", "result", str(result), "--tenant", "acme")
    assert result.stat().st_mode & 0o777 == 0o600
    lines = list(csv.DictReader(result.read_text().splitlines()))
    assert {line["vendor_id"]: (line["old_x"], line["order_id"]) for line in lines} == {
        row["binding_id"]: (row["x"], row["order_id"]) for row in rows[:30]
    }
    assert all(line["x"].startswith("70012345") and line["new_id"].startswith("b12345") for line in lines)
    assert "vendor_id" in (tmp_path / "moved.csv").read_text()
    state = cli.json("migrate-bindings", "status", "--tenant", "acme")
    assert (state["moved"], state["kept"], state["cut_over_at"]) == (30, 0, None)
    cli.run("migrate-bindings", "cutover", "--tenant", "acme")
    assert "moved_to_700" in cli.json("route", old(1)["x"], "-", status=4, stdin=old(1)["a"])["rule"]
    assert cli.json("migrate-bindings", "status", "--tenant", "acme")["cut_over_at"] is not None
    again = cli.run("migrate-bindings", "cutover", "--tenant", "acme", status=1)
    assert "step_refused" in again.stderr
    back = cli.json("migrate-bindings", "rollback", "--tenant", "acme")
    assert (back["gone_on"], back["ended"]) == (30, 0)
    assert count(dsn_of(cli), "SELECT count(*) FROM binding WHERE released_at IS NULL") == 0
    assert cli.json("route", old(1)["x"], "-", stdin=old(1)["a"])["decision"] == "connect"
    refused = cli.run("migrate-bindings", "cutover", "--tenant", "acme", status=1)
    assert "30 live old bindings have no 700 number" in refused.stderr
    anew = cli.json("migrate-bindings", "execute", file, "--tenant", "acme", status=1)
    assert (anew["moved"], anew["rejected"]) == (30, 1)
    check_whole(dsn_of(cli))
    trail = json.loads(cli.run("audit", "list", "--json").stdout)
    said = [entry["details"] for entry in trail["items"]] if isinstance(trail, dict) else trail
    assert "cutover" in json.dumps(said) and "rollback" in json.dumps(said)


def test_a_file_to_be_written_is_refused_before_any_work(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "old.jsonl"
    written(file, old(1), old(2, b="+8613812"))
    before = file.read_bytes()
    link, twin, folder = tmp_path / "link.csv", tmp_path / "twin.csv", tmp_path / "folder"
    link.symlink_to(file)
    twin.hardlink_to(file)
    folder.mkdir()
    home = cli.config.home
    needed = (file, folder / ".." / file.name, link, twin, home / "keys.json", home / "qibai.toml")
    assert (home / "keys.json") == cli.config.key_file and (home / "qibai.toml") == cli.config.file
    device = Path("/dev/null")
    for place in (*needed, tmp_path / "none" / "x.csv", Path("/proc/x.csv"), file / "x.csv", device):
        word = "which this command needs" if place in needed else "is not a file"
        word = word if place in needed or place.exists() else "cannot be written"
        for step, option in (("plan", "--rejects"), ("execute", "--rejects"), ("execute", "--result")):
            argv = ("migrate-bindings", step, str(file), "--tenant", "acme", option, str(place))
            refused = cli.run(*argv, status=1)
            assert "request_invalid" in refused.stderr and word in refused.stderr, (place, refused.stderr)
            assert option.strip("-") in refused.stderr
    both = ("--rejects", str(tmp_path / "one.csv"), "--result", str(tmp_path / "one.csv"))
    refused = cli.run("migrate-bindings", "execute", str(file), "--tenant", "acme", *both, status=1)
    assert "needs" in refused.stderr
    for command in ("code export", "audit export", "migrate-bindings result --tenant acme"):
        for place in (cli.config.key_file, tmp_path / "none" / "x.csv"):
            assert "file" in cli.run(*command.split(), str(place), status=1).stderr
    assert "request_invalid" in cli.run("audit", "export", str(file), status=1).stderr  # never over a file
    assert file.read_bytes() == before and count(dsn_of(cli), "SELECT count(*) FROM existing_binding") == 0
    assert json.loads(cli.config.key_file.read_bytes())
    assert not list(tmp_path.glob("*.rejects.csv")) and not list(tmp_path.rglob("*.new"))
    assert device.is_char_device() and device.stat().st_mode & 0o777 == 0o666


def test_killed_in_mid_run_it_goes_on_and_neither_loses_nor_doubles(cli: Cli, tmp_path: Path) -> None:
    total = 24_000
    file = written(tmp_path / "many.jsonl", *(old(n) for n in range(total)))
    command = [*cli.command, "migrate-bindings", "execute", file, "--tenant", "acme", "--rate", "8000"]
    for part in (4, 9, 15):
        with (tmp_path / "out").open("ab") as out:
            process = subprocess.Popen(command, env=cli.env, stdout=out, stderr=out)
        _wait_until(cli, part * BATCH, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_for(lambda: not _others(cli), "the killed sessions' end")
        assert count(dsn_of(cli), MOVED) % BATCH == 0
        check_whole(dsn_of(cli))
    before = count(dsn_of(cli), MOVED)
    assert 15 * BATCH <= before < total
    rest = cli.json("migrate-bindings", "execute", file, "--tenant", "acme")
    assert (rest["moved"], rest["earlier_batches"], rest["total"]) == (total - before, before, total)
    assert count(dsn_of(cli), MOVED) == total
    assert count(dsn_of(cli), "SELECT count(DISTINCT order_id) FROM binding") == total
    check_whole(dsn_of(cli))
    said = (tmp_path / "out").read_text()
    assert number("138", 1)[3:] not in said and number("170", 1)[3:] not in said


def _wait_until(cli: Cli, moved: int, process: "subprocess.Popen[bytes]") -> None:
    wait_for(lambda: count(dsn_of(cli), MOVED) >= moved or process.poll() is not None, "some batches", 60)


def _others(cli: Cli) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('qibai-cli', 'qibai-migration')"
    with psycopg.connect(dsn_of(cli), autocommit=True) as conn:
        row = conn.execute(query + " AND datname = current_database()").fetchone()
        return row is not None and row[0] > 0
