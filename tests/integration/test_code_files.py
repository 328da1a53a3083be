"""Codes in bulk: a file is taken whole or not at all, goes on after a crash, and comes out as it went in."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest
from cli_tools import Cli, cli_in

from qibai.store.resources import bulk
from qibai.testing.platform import wait_for

FIRST = 70010000000
TODAY = date.today()  # noqa: DTZ011  # the papers have to be in force by the real calendar
YESTERDAY, LATER = TODAY - timedelta(days=1), TODAY + timedelta(days=30)
DAYS = [
    "--from",
    str(YESTERDAY),
    "--to",
    str(LATER),
    "--province",
    "all",
]


@pytest.fixture
def cli(database: Callable[[], str], tmp_path: Path) -> Iterator[Cli]:
    with cli_in(tmp_path / "home", QIBAI_STORE_DSN=database()) as made:
        made.run("init")
        for name in ("east", "west"):
            made.run("platform", "add", name)
            made.run("certificate", "add", name, f"C-{name}", *DAYS)
        made.run("tenant", "add", "acme")
        made.run("platform", "place", "east", "acme")
        yield made


def count(cli: Cli, where: str = "true") -> int:
    with psycopg.connect(cli.env["QIBAI_STORE_DSN"], autocommit=True) as conn:
        row = conn.execute(f"SELECT count(*) FROM code WHERE {where}").fetchone()  # type: ignore[arg-type]  # noqa: S608
        assert row is not None
        return int(row[0])


def test_bad_lines_are_named_and_keep_all_others_out(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "codes.csv"
    file.write_text(
        "code,certificate,tenant,provinces\n"
        "70010000001,C-east,acme,广东 31\n"
        "7001000000x,C-east,acme,\n"
        "70010000003,C-nowhere,,\n"
        "70010000004,C-west,acme,\n"
        "70010000005,C-west,,44\n"
    )
    refused = cli.run("code", "import", str(file), status=1)
    assert "line 3: A code is written as 700" in refused.stderr
    assert "line 4: there is no certificate of this number" in refused.stderr
    assert "line 5: code and tenant are of different application platforms" in refused.stderr
    assert "5 lines, 3 bad, 0 written" in refused.stdout and count(cli) == 0
    taken = cli.json("code", "import", str(file), "--skip-bad")
    assert taken["written"] == 2 and [one["line"] for one in taken["bad"]] == [3, 4, 5]
    assert count(cli, "state = 'in_use' AND provinces = '{31,44}'") == 1
    assert count(cli, "state = 'opened' AND tenant_id IS NULL") == 1
    elsewhere = tmp_path / "more.jsonl"
    elsewhere.write_text('{"code": "70010000005", "certificate": "C-east"}\n')
    assert "another application platform's" in cli.run("code", "import", str(elsewhere), status=1).stderr


def test_what_was_exported_can_be_imported_and_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    cli.run("code", "assign", "70010000001-70010000300", "--certificate", "C-east")
    cli.run("code", "give", "70010000001-70010000200", "--tenant", "acme")
    cli.run("code", "open", "70010000001-70010000100", "--province", "44", "--province", "31")
    for name in ("codes.csv", "codes.jsonl"):
        file = tmp_path / name
        cli.run("code", "export", str(file))
        before = file.read_bytes()
        assert before.count(b"70010000") == 300
        assert cli.json("code", "import", str(file))["written"] == 300
        cli.run("code", "export", str(file))
        assert file.read_bytes() == before
    assert "70010000001" in cli.run("code", "export").stdout


def test_a_hundred_thousand_codes_go_on_after_a_kill(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "many.csv"
    with file.open("w") as out:
        out.write("code,certificate,tenant,provinces\n")
        out.writelines(f"{FIRST + i},C-east,acme,44\n" for i in range(100_000))
    process = subprocess.Popen([*cli.command, "code", "import", str(file)], env=cli.env)
    wait_for(lambda: count(cli) >= 3 * bulk.BATCH or process.poll() is not None, "some batches", 60)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not _others(cli), "the killed session's end")
    written = count(cli)
    assert written % bulk.BATCH == 0 and 3 * bulk.BATCH <= written < 100_000
    rest = cli.json("code", "import", str(file))
    assert (rest["earlier"], rest["written"]) == (written, 100_000 - written)
    assert count(cli, "state = 'in_use'") == 100_000


def test_memory_hardly_grows_with_the_file(cli: Cli, tmp_path: Path) -> None:
    peaks = {}
    for lines in (5_000, 100_000):
        file = tmp_path / f"{lines}.jsonl"
        with file.open("w") as out:
            out.writelines(
                f'{{"code": "{FIRST + i}", "certificate": "C-east", "tenant": "acme", "provinces": ["44"]}}\n'
                for i in range(lines)
            )
        process = subprocess.Popen([*cli.command, "code", "import", str(file), "--json"], env=cli.env)
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            if found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text()):
                peaks[lines] = int(found[1])
            time.sleep(0.02)
        assert process.returncode == 0 and count(cli) == lines
        print(f"{lines} lines: {peaks[lines] // 1024} MiB")
    assert (
        peaks[100_000] - peaks[5_000] < 32 * 1024
    )  # KiB; the file is 8 MB, its lines as objects over 100 MB


def _others(cli: Cli) -> bool:
    with psycopg.connect(cli.env["QIBAI_STORE_DSN"], autocommit=True) as conn:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'qibai-cli'"
        row = conn.execute(query + " AND datname = current_database()").fetchone()
        return row is not None and row[0] > 0
