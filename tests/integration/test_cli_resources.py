"""An operator sets an application platform up and takes it down again, all by commands."""

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from cli_tools import Cli, cli_in

from database_tools import as_platform

TODAY = date.today()  # noqa: DTZ011  # the rules look at the real calendar here


@pytest.fixture
def cli(database: Callable[[], str], tmp_path: Path) -> Iterator[Cli]:
    notice = str(TODAY - timedelta(days=300))
    variables = {
        "QIBAI_STORE_DSN": as_platform(database()),
        "QIBAI_PILOT_NOTICE": notice,
        "QIBAI_VOICE_ENABLED": "false",
    }
    with cli_in(tmp_path / "home", **variables) as made:
        made.run("init")
        made.run("dual", "rule", "1")
        yield made


def test_an_enterprise_from_its_application_to_its_revocation(cli: Cli) -> None:
    cli.run("carrier", "set", "1", "Telecom")
    cli.run("platform", "add", "east")
    cli.run("tenant", "add", "acme")
    cli.run("platform", "place", "east", "acme")
    cli.run("tenant", "add", "other")
    assert cli.json("application", "draft", "east", "--note", "two codes")["id"] == 1
    for command in ("submit", "accept", "grant"):
        cli.run("application", command, "1")
    assert [step["state"] for step in cli.json("application", "show", "1")] == [
        "drafted",
        "submitted",
        "accepted",
        "granted",
    ]
    again = cli.run("application", "submit", "1", status=1)
    assert "step_refused: an application that is granted cannot become submitted" in again.stderr
    days = ["--from", str(TODAY - timedelta(days=30)), "--to", str(TODAY + timedelta(days=29))]
    cli.run("approval", "add", "east", "P-1", *days, "--province", "all")
    cli.run("certificate", "add", "east", "C-1", *days, "--province", "Guangdong", "--province", "31")
    assert cli.json("code", "assign", "70010000001-70010000002", "--certificate", "C-1") == {"codes": 2}
    lent = cli.run("code", "give", "70010000001", "--tenant", "other", status=1)
    assert "sub_lease_refused" in lent.stderr
    cli.run("code", "give", "70010000001-70010000002", "--tenant", "acme")
    cli.run("code", "open", "70010000001-70010000002", "--province", "44")
    first, _ = cli.json("code", "list")
    assert (first["state"], first["provinces"], first["platform"]) == ("in_use", ["44"], "east")
    (platform,) = cli.json("platform", "list")
    assert (platform["approval"], platform["codes"], platform["tenants"]) == ("P-1", 2, ["acme"])
    assert "Guangdong" not in cli.run("code", "list").stdout and "广东" in cli.run("code", "list").stdout

    assert cli.json("code", "set-aside", "--carrier", "1", "--why", "not carried") == {"codes": 2}
    (carrier,) = cli.json("carrier", "list")
    assert (carrier["codes"], carrier["set_aside"]) == (2, 2)
    cli.run("code", "restore", "--carrier", "1")
    cli.run("number", "lock", "700100000010042", "--why", "a complaint", "--calls")
    (lock,) = cli.json("number", "list")
    assert (lock["number"], lock["stops_calls"]) == ("700100000010042", True)
    cli.run("number", "unlock", "700100000010042")
    assert cli.json("quota", "set", "acme", "5", "--scene", "food", "--province", "Guangdong")["used"] == 0
    (quota,) = cli.json("quota", "list")
    assert (quota["most"], quota["scene"], quota["province"]) == (5, "food", "44")
    cli.run("quota", "drop", "acme", "--scene", "food", "--province", "44")
    assert cli.json("quota", "list") == []

    checks = {one["name"]: one for one in cli.json("doctor", status=1)["checks"]}
    assert checks["pilot"]["says"].startswith("phase formal until")
    last = TODAY + timedelta(days=29)
    assert (checks["papers"]["state"], checks["papers"]["says"]) == (
        "warn",
        f"end within 30 days: approval P-1 of east ({last}), certificate C-1 of east ({last})",
    )
    cli.run("code", "drain", "70010000002")
    cli.run("code", "return", "70010000002")
    taken = cli.run("code", "assign", "70010000002", "--certificate", "C-1", status=1)
    assert "step_refused: 70010000002 was returned" in taken.stderr
    cli.run("approval", "revoke", "P-1", "--why", "fraud")
    assert "revoked" in cli.run("approval", "list").stdout
    twice = cli.run("approval", "revoke", "P-1", "--why", "fraud", status=1)
    assert "step_refused" in twice.stderr
    missing = cli.run("certificate", "revoke", "C-9", "--why", "fraud", status=1)
    assert "resource_not_found" in missing.stderr


def applied(cli: Cli, platform: str, kind: str) -> str:
    """An application of this kind, accepted."""
    id = str(cli.json("application", "draft", platform, "--kind", kind)["id"])
    cli.run("application", "submit", id)
    cli.run("application", "accept", id)
    return id


def test_a_grant_enters_what_came_of_it_or_nothing(cli: Cli) -> None:
    for name in ("east", "west"):
        cli.run("platform", "add", name)
    days = ["--from", str(TODAY - timedelta(days=30)), "--to", str(TODAY + timedelta(days=30))]
    papers = ["--approval", "P-1", "--certificate", "C-1", "--province", "all", *days]
    first = applied(cli, "east", "initial")
    without = cli.run("application", "grant", first, "--codes", "70010000001", status=1)
    assert "codes are assigned by a certificate" in without.stderr
    assert cli.json("application", "list")[0]["state"] == "accepted"  # nothing of it was done
    did = cli.json("application", "grant", first, *papers, "--codes", "70010000001-70010000003")["did"]
    assert did == ["approval P-1 entered", "certificate C-1 entered", "3 codes assigned by C-1"]

    more = ["--certificate", "C-1", "--codes", "70010000004"]
    assert cli.json("application", "grant", applied(cli, "east", "supplement"), *more)["did"] == [
        "1 codes assigned by C-1"
    ]
    strange = cli.run("application", "grant", applied(cli, "west", "supplement"), *more, status=1)
    assert "sub_lease_refused" in strange.stderr
    later = str(TODAY + timedelta(days=300))
    renewed = cli.json("application", "grant", applied(cli, "east", "renewal"), "--to", later)["did"]
    assert renewed == [f"approval P-1 holds until {later}", f"certificate C-1 holds until {later}"]

    cli.run("code", "open", "70010000001-70010000003", "--province", "44")
    back = applied(cli, "east", "return")
    assert "sub_lease_refused" in (
        cli.run(
            "application", "grant", applied(cli, "west", "return"), "--codes", "70010000001", status=1
        ).stderr
    )
    assert cli.json("application", "grant", back, "--codes", "70010000001")["did"] == ["1 codes draining"]
    did = cli.json("application", "grant", applied(cli, "east", "early_exit"))["did"]
    assert re.fullmatch(r"early exit from [0-9T:-]{19}Z", did[0]) and did[1] == "2 codes draining"
    states = [code["state"] for code in cli.json("code", "list")]
    assert states == ["draining", "draining", "draining", "assigned"]
    wrong = cli.run("application", "grant", applied(cli, "east", "return"), "--approval", "P-9", status=1)
    assert "no such outcome" in wrong.stderr


def test_a_bad_calendar_and_an_unknown_province_are_named(cli: Cli) -> None:
    bad = cli.run("status", status=3, QIBAI_PILOT_NOTICE="15.7.2025")
    assert "QIBAI_PILOT_NOTICE: pilot.notice: give a date, YYYY-MM-DD" in bad.stderr
    days = ["--from", str(TODAY), "--to", str(TODAY + timedelta(days=30))]
    cli.run("platform", "add", "east")
    elsewhere = cli.run("approval", "add", "east", "P", *days, "--province", "Yunnan", status=1)
    assert "province_unknown" in elsewhere.stderr
    backwards = ["--from", str(TODAY), "--to", str(TODAY - timedelta(days=1)), "--province", "44"]
    assert "request_invalid" in cli.run("approval", "add", "east", "P", *backwards, status=1).stderr
    assert cli.json("approval", "list") == []
