"""What commands print: ids that can be copied, times with their zone, real numbers only if asked for."""

import re
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli_tools import Cli, cli_in

from api_tools import Api
from database_tools import as_platform

A, B, C = "13800138000", "13900139000", "13700137000"
TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"


@pytest.fixture(scope="module")
def api(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    made = Api(tmp_path_factory.mktemp("out") / "api", database())
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(scope="module")
def cli(api: Api) -> Iterator[Cli]:
    key = api.tenant("acme", "70010000001").key.bearer
    variables = {"QIBAI_STORE_DSN": as_platform(api.dsn), "QIBAI_API_URL": api.url, "QIBAI_API_KEY": key}
    with cli_in(api.config.home, **variables) as made:
        yield made


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_ids_stay_whole_at_every_width(cli: Cli, columns: str) -> None:
    bound = cli.json("bind", "--a", A, "--b", B, "--order", "a-long-order-number-2026-000000000000001")
    cli.run("number", "lock", "700100000019999", "--why", "a complaint of many words, " * 8, status=None)
    key = cli.json("tenant", "key", "list", "acme")[0]["key_id"]
    for id, command in (
        (bound["id"], ("show", bound["x"])),
        (bound["x"], ("show", bound["x"])),
        (key, ("tenant", "key", "list", "acme")),
        ("number:700100000019999", ("audit", "list")),
        ("700100000019999", ("number", "list")),
        ("70010000001", ("code", "list")),
    ):
        lines = cli.run(*command, COLUMNS=columns).stdout.splitlines()
        assert any(id in re.split(r"[ \"]+", line) or id in line for line in lines), (command, lines)
        assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize("columns", ["0", "1", "7", "999999999999"])
def test_any_terminal_shows_everything(cli: Cli, columns: str) -> None:
    narrow = {"COLUMNS": columns, "PYTHONIOENCODING": "ascii", "LANG": "C", "LC_ALL": "C"}
    cli.run("carrier", "set", "1", "中国电信", **narrow)
    for command in (
        "carrier list",
        "status",
        "tenant list",
        "config",
        "config check",
        "audit list",
        "--help",
    ):
        done = cli.run(*command.split(), status=None, **narrow)
        assert "Traceback" not in done.stderr, (command, done.stderr)
        done.stdout.encode("ascii")
    assert "\\u4e2d\\u56fd" in cli.run("carrier", "list", **narrow).stdout
    assert cli.json("carrier", "list", **narrow)[0]["name"] == "中国电信"
    assert cli.run("number", "unlock", "700100000010001", status=1, **narrow).stderr.startswith("error")


def test_json_has_no_real_number_unless_it_is_asked_for(cli: Cli) -> None:
    bind = ("bind", "--mode", "GXB", "--member", A, "--b", B, "--order", f"call {C}")
    for said in (cli.json(*bind), cli.json("show", cli.json(*bind)["x"])):
        assert not {A, B, C} & set(re.findall("1[0-9]{10}", str(said)))
        assert "139****9000" in str(said)
    whole = cli.json(*bind, "--reveal")
    assert (whole["b"], whole["members"]) == (f"+86{B}", [f"+86{A}"])
    assert cli.json("show", whole["id"], "--reveal")[0]["b"] == f"+86{B}"


def test_every_time_has_its_zone_and_can_be_typed_as_it_is_printed(cli: Cli) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    beijing = end.astimezone().isoformat()
    text = cli.run("bind", "--a", A, "--b", B, "--order", "o", "--expires-at", beijing).stdout
    assert f"{end:%Y-%m-%dT%H:%M:%SZ}" in text
    for printed in re.findall(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{5}\S*", text):
        assert re.fullmatch(TIME, printed)
    for command in ("tenant list", "tenant key list acme", "audit list", "number list"):
        printed = cli.run(*command.split()).stdout
        found = re.findall(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{5}\S*", printed)
        assert found and all(re.fullmatch(TIME, one) for one in found), printed
    bind = ("bind", "--a", A, "--b", B, "--order", "o", "--expires-at")
    for wrong in ("2026-06-01T14:03:00", "2026-06-01", "tomorrow", "0001-01-01T00:00:00+08:00"):
        refused = cli.run(*bind, wrong, status=1).stderr
        assert "give a time with its zone, as 2026-06-01T14:03:00+08:00 (expires_at)" in " ".join(
            refused.split()
        )
    for command in ("bind", "calls", "trace", "application draft", "approval revoke"):
        assert "2026-06-01T14:03:00+08:00" in cli.run(*command.split(), "--help", COLUMNS="200").stdout


def test_a_home_is_closed_to_others(tmp_path: Path, dsn: str) -> None:
    tmp_path.chmod(0o755)
    with cli_in(tmp_path / "outer" / "home", QIBAI_STORE_DSN=as_platform(dsn)) as cli:
        cli.run("init")
        assert stat.S_IMODE(cli.home.stat().st_mode) == 0o700
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
        (home,) = (one for one in cli.json("doctor", status=1)["checks"] if one["name"] == "home")
        assert home["state"] == "ok"
        cli.home.chmod(0o755)
        (home,) = (one for one in cli.json("doctor", status=1)["checks"] if one["name"] == "home")
        assert (home["state"], home["mend"]) == ("warn", f"chmod 700 {cli.home}")


@pytest.mark.parametrize("first", [("login",), ("tenant", "add", "x"), ("up", "--detach")])
def test_whatever_makes_the_home_closes_it(tmp_path: Path, first: tuple[str, ...]) -> None:
    with cli_in(tmp_path / "home", QIBAI_API_KEY="qb_x_y", QIBAI_STORE_DSN="host=127.0.0.1 port=1") as cli:
        cli.run(*first, status=None)
        if cli.home.exists():
            assert stat.S_IMODE(cli.home.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["", " ", " east", "a\nb", "a\x1bb", "a\u200bb", "a\u202eb", "x" * 3_000])
def test_names_that_nobody_can_read_are_refused(cli: Cli, name: str) -> None:
    for command in (
        ("platform", "add", name),
        ("tenant", "add", name),
        ("carrier", "set", "2", name),
        ("approval", "add", "north", name, "--from", "2026-01-01", "--to", "2026-12-31", "--province", "all"),
    ):
        assert "error name_invalid: A name has 1 to 64" in cli.run(*command, status=1).stderr
    assert [one["name"] for one in cli.json("platform", "list")] == []


def test_an_application_platform_that_has_nothing_can_be_removed(cli: Cli) -> None:
    cli.run("platform", "add", "west")
    cli.run("tenant", "add", "wind")
    cli.run("platform", "place", "west", "wind")
    refused = cli.run("platform", "remove", "west", status=1).stderr
    assert "step_refused: this application platform has 1 tenant;" in " ".join(refused.split())
    cli.run("platform", "add", "south")
    paper = ("A-1", "--from", "2026-01-01", "--to", "2026-12-31", "--province", "all")
    cli.run("approval", "add", "south", *paper)
    assert "has 1 paper;" in " ".join(cli.run("platform", "remove", "south", status=1).stderr.split())
    cli.run("platform", "add", "oops")
    assert cli.json("platform", "remove", "oops") == {"name": "oops", "removed": True}
    assert [one["name"] for one in cli.json("platform", "list")] == ["south", "west"]
    entry = cli.json("audit", "list", "--subject", "platform:oops")[0]
    assert '"remove"' in entry["details"]
    assert "resource_not_found" in cli.run("platform", "remove", "oops", status=1).stderr


def test_a_bracket_in_a_name_is_shown(cli: Cli) -> None:
    for name in ("shop [/] 7", "[bold]shop[/bold]"):
        assert f"✓ tenant {name} added" in cli.run("tenant", "add", name).stdout
        assert f"✓ tenant {name} disabled" in cli.run("tenant", "disable", name).stdout
