"""A real number in what an operator types is never kept: masked in reasons and notes, refused in names."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
import pytest
from cli_tools import Cli, cli_in

from api_tools import Api, Tenant, one_person
from database_tools import as_platform
from qibai.config import PilotConfig

TODAY: Final = datetime.now(UTC).date()
#: One number each, so that each can be told where it is found.
NUMBERS: Final = [
    "13845670001",
    "138 4567 0002",
    "013845670003",
    "+86-138-4567-0004",
    "1259313845670005",
    "138=4567=0006",
    "138x4567x0007",
    "１３８４５６７０００８",
    "一三八四五六七零零零九",
    "l3845670OIO",
    "①③⑧④⑤⑥⑦⓪⓪①①",
    "138\u200b4567\u200b0012",
    "1384567001313945670013",
]

#: Those that a label can hold: it has no invisible characters and no signs.
LABELS: Final = [number for number in NUMBERS if not set(number) & set("\u200b①")]


@pytest.fixture
def api(database: Callable[[], str], tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path / "api", database())
    pilot = PilotConfig(notice=str(TODAY - timedelta(days=300)), grace_s=0)
    made.config = msgspec.structs.replace(made.config, pilot=pilot)
    one_person(made)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def cli(database: Callable[[], str], tmp_path: Path) -> Iterator[Cli]:
    variables = {
        "QIBAI_STORE_DSN": as_platform(database()),
        "QIBAI_PILOT_NOTICE": str(TODAY - timedelta(days=300)),
        "QIBAI_VOICE_ENABLED": "false",
    }
    with cli_in(tmp_path / "home", **variables) as made:
        made.run("init")
        made.run("dual", "rule", "1")
        yield made


def pages(dsn: str) -> bytes:
    """What the database has on its pages, write-ahead log apart."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CHECKPOINT")
        found = conn.execute(
            """SELECT pg_read_binary_file(pg_relation_filepath(oid)) FROM pg_class
               WHERE relkind IN ('r', 't', 'i') AND pg_relation_filepath(oid) IS NOT NULL
                 AND relname <> ALL (%s)""",
            (SKIPPED,),
        ).fetchall()
    return b"".join(page for (page,) in found)


SKIPPED: Final[list[str]] = []


def kept(dsn: str) -> list[str]:
    """The numbers that are on the pages, as they were typed."""
    data = pages(dsn)
    return [number for number in NUMBERS if number.encode() in data]


def admin(api: Api, who: Tenant, path: str, **body: Any) -> tuple[int, Any]:
    answer = api.call(who, "POST", f"/v1/admin/{path}", body)
    return answer.status_code, answer.json()


def test_names_that_hold_a_number_are_refused_over_http(api: Api) -> None:
    operator = api.operator()
    api.tenant("acme")
    assert admin(api, operator, "platforms", name="east")[0] == 201
    days = {"first_day": str(TODAY), "last_day": str(TODAY + timedelta(days=9))}
    for number in LABELS:
        paper = {"platform": "east", "number": f"P {number}", "provinces": ["44"], **days}
        for path, body in (
            ("platforms", {"name": f"east {number}"}),
            ("approvals", paper),
            ("certificates", paper),
        ):
            status, problem = admin(api, operator, path, **body)
            assert (status, problem["code"]) == (422, "number_not_allowed"), (path, number, problem)
            assert number not in str(problem)
    assert kept(api.dsn) == []


def test_numbers_in_reasons_and_notes_are_masked_over_http(api: Api) -> None:
    operator = api.operator()
    api.tenant("acme", "70012345678")
    assert admin(api, operator, "platforms", name="east")[0] == 201
    days = {"first_day": str(TODAY), "last_day": str(TODAY + timedelta(days=9))}
    for index, number in enumerate(NUMBERS):
        text = f"ask {number}, ticket 7"
        assert admin(api, operator, "applications", platform="east", note=text)[0] == 201
        if number not in LABELS:
            continue
        lock = {"number": f"70012345678{index:04d}", "why": text}
        assert admin(api, operator, "locks", **lock)[0] < 300
        assert admin(api, operator, "codes/set-aside", codes=["70012345678"], why=text)[0] < 300
        paper = {"platform": "east", "number": f"P-{index}", "provinces": ["44"], **days}
        assert admin(api, operator, "approvals", **paper)[0] == 201
        assert admin(api, operator, "approvals/revoke", number=f"P-{index}", why=text)[0] < 300
    locked = api.sql("SELECT why FROM number_lock ORDER BY serial")
    assert all(why.startswith("ask 138****") and why.endswith(", ticket 7") for (why,) in locked)
    assert len(locked) == len(LABELS)
    assert kept(api.dsn) == []


def test_what_is_typed_on_the_command_line_is_kept_without_numbers(cli: Cli) -> None:
    cli.run("platform", "add", "east")
    for number in NUMBERS[1:4]:
        for command in (
            ("tenant", "add", number),
            ("platform", "add", f"e {number}"),
            ("carrier", "set", "1", number),
        ):
            refused = cli.run(*command, status=1)
            assert "number_not_allowed" in refused.stderr and number not in refused.stderr
        cli.run("application", "draft", "east", "--note", f"for {number}")
    shown = cli.json("application", "list")
    assert {one["note"] for one in shown} == {"for 138****0002", "for 138****0003", "for 138****0004"}
