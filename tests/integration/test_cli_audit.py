"""Commands: who did what is recorded and checked; what takes two persons takes two."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from cli_tools import Cli, cli_in

from database_tools import as_platform


@pytest.fixture
def owner(database: Callable[[], str]) -> str:
    return database()


@pytest.fixture
def cli(owner: str, tmp_path: Path) -> Iterator[Cli]:
    with cli_in(tmp_path / "home", QIBAI_STORE_DSN=as_platform(owner), QIBAI_VOICE_ENABLED="false") as made:
        made.run("init")
        yield made


def tamper(owner: str, statement: str) -> None:
    with psycopg.connect(owner, autocommit=True) as conn:
        conn.execute("SET session_replication_role = replica")
        conn.execute(statement)  # type: ignore[arg-type]


def key(cli: Cli, role: str, holder: str) -> str:
    made: str = cli.json("access", "add", role, holder)["api_key"]
    return made


def test_administrative_acts_are_in_the_trail_with_who_did_them(cli: Cli) -> None:
    tenant = cli.json("--as", "Li Na", "tenant", "add", "acme")
    cli.run("--as", "Li Na", "code", "add", "70010000001", "--tenant", "acme")
    more = cli.json("tenant", "key", "add", "acme", "--network", QIBAI_AS="wang")
    cli.run("tenant", "key", "revoke", more["key_id"])
    cli.run("tenant", "disable", "acme")
    cli.run("tenant", "enable", "acme")
    cli.run("tenant", "add", "acme", status=1)  # what failed was not done
    found = list(reversed(cli.json("audit", "list")))
    assert [one["action"] for one in found] == [
        *("tenant.add", "code.add", "key.add", "key.revoke", "tenant.disable", "tenant.enable")
    ]
    assert [one["actor"] for one in found[:3]] == ["li na", "li na", "wang"]
    assert all(one["via"].startswith("os:") and one["role"] == "operator" for one in found)
    assert tenant["key_id"] in found[0]["details"]
    assert all(tenant["api_key"].split("_", 2)[2] not in json.dumps(one) for one in found)
    latest = cli.json("audit", "list", "--subject", "tenant:acme", "--limit", "2")
    assert [one["seq"] for one in latest] == [6, 5]
    assert cli.json("audit", "verify")["entries"] == 6


def test_verify_names_the_first_bad_entry(cli: Cli, owner: str, tmp_path: Path) -> None:
    for name in ("one", "two", "three", "four"):
        cli.run("tenant", "add", name)
    cli.run("audit", "export", str(tmp_path / "trail.jsonl"))
    sound = cli.json("audit", "verify")
    assert (sound["entries"], sound["anchors"]) == (4, 4)
    exported = cli.json("audit", "verify", "--file", str(tmp_path / "trail.jsonl"), "--anchor", sound["head"])
    assert exported == {"entries": 4, "head": sound["head"], "anchors": 1}
    tamper(owner, "CREATE TABLE saved AS SELECT * FROM audit")
    for statement, says in (
        ("UPDATE audit SET actor = 'nobody' WHERE seq = 2", "entry 2 was changed"),
        ("DELETE FROM audit WHERE seq = 3", "entry 3 is missing"),
        ("DELETE FROM audit WHERE seq = 4", "entry 4 is missing: the trail ends at 3, it had 4"),
        ("DELETE FROM audit", "entry 1 is missing: the trail ends at 0, it had 1"),
    ):
        tamper(owner, statement)
        failed = cli.run("audit", "verify", status=1)
        assert failed.stderr.startswith("error audit_broken: " + says)
        tamper(owner, "DELETE FROM audit")
        tamper(owner, "INSERT INTO audit SELECT * FROM saved")
    cli.run("audit", "verify")


def test_an_old_database_put_back_is_noticed_by_the_anchors(cli: Cli, owner: str) -> None:
    cli.run("tenant", "add", "one")
    tamper(owner, "CREATE TABLE saved AS SELECT * FROM audit_head")
    cli.run("tenant", "add", "two")
    tamper(owner, "DELETE FROM audit WHERE seq = 2")
    tamper(owner, "DELETE FROM audit_head")
    tamper(owner, "INSERT INTO audit_head SELECT * FROM saved")
    assert "ends at 1, it had 2" in cli.run("audit", "verify", status=1).stderr
    assert "an entry 2 that is gone" in cli.run("tenant", "disable", "one").stderr
    assert "was rewritten, entry 2: it does not fit an anchor" in cli.run("audit", "verify", status=1).stderr


def test_keys_and_approvals_that_sql_wrote_are_named(cli: Cli, owner: str) -> None:
    tenant = cli.json("tenant", "add", "acme")["key_id"]
    alice, _ = key(cli, "operator", "Alice"), key(cli, "operator", "Bob")
    cli.run("keys", "rotate", "--token", "--why", "yearly", status=1, QIBAI_API_KEY=alice)
    (asked,) = cli.json("dual", "list")
    cli.run("audit", "verify")
    tamper(
        owner,
        "UPDATE dual_request"
        " SET state = 'approved', decided_by = 'bob', decided_via = 'key:b', decided_at = now()",
    )
    tamper(owner, f"UPDATE api_key SET kind = 'network' WHERE id = '{tenant}'")  # noqa: S608
    said = cli.run("audit", "verify", status=1).stderr
    assert f"approval {asked['id']}, API key {tenant}" in said


def test_an_export_that_was_edited_is_noticed(cli: Cli, tmp_path: Path) -> None:
    for name in ("one", "two"):
        cli.run("tenant", "add", name)
    path = tmp_path / "trail.jsonl"
    cli.run("audit", "export", str(path))
    lines = path.read_text().splitlines()
    assert cli.run("audit", "export").stdout.splitlines() == lines
    path.write_text(lines[0].replace("tenant:one", "tenant:won") + "\n" + lines[1] + "\n")
    assert "entry 1 was changed" in cli.run("audit", "verify", "--file", str(path), status=1).stderr
    path.write_text(lines[0] + "\nnonsense\n")
    assert "line 2" in cli.run("audit", "verify", "--file", str(path), status=1).stderr


def test_rotating_a_key_takes_two_persons(cli: Cli) -> None:
    assert "unauthenticated: this takes two persons" in cli.run("keys", "rotate", "--token", status=1).stderr
    tenant = cli.json("tenant", "add", "acme")["api_key"]
    alice, bob = key(cli, "operator", "Alice"), key(cli, "operator", "Bob")
    rotate = ("keys", "rotate", "--token", "--why", "yearly")
    assert "forbidden" in cli.run(*rotate, status=1, QIBAI_API_KEY=tenant).stderr
    asked = cli.run(*rotate, status=1, QIBAI_API_KEY=alice).stderr
    (request,) = cli.json("dual", "list")
    assert (request["action"], request["params"], request["asked_by"]) == (
        "keys.rotate",
        '{"key":"token"}',
        "alice",
    )
    assert asked.startswith("error second_person_required: ")
    assert request["id"] in asked
    approve = ("dual", "approve", request["id"])
    assert "same_person" in cli.run(*approve, status=1, QIBAI_API_KEY=alice).stderr
    assert "unauthenticated" in cli.run("--as", "bob", *approve, status=1).stderr
    assert cli.json(*approve, QIBAI_API_KEY=bob)["state"] == "approved"
    assert (
        "second_person_required" in cli.run("keys", "rotate", "--hash", status=1, QIBAI_API_KEY=alice).stderr
    )
    assert cli.json(*rotate, QIBAI_API_KEY=alice) == {"key": "token", "id": 2}
    assert "second_person_required" in cli.run(*rotate, status=1, QIBAI_API_KEY=alice).stderr
    begun, done = reversed(cli.json("audit", "list", "--action", "keys.rotate"))
    assert json.loads(begun["details"]) == {
        "state": "begun",
        "second_person": "bob",
        "request": request["id"],
        "why": "yearly",
    }
    assert json.loads(done["details"]) == {"state": "done", "id": 2}


def test_a_third_operator_is_not_one_persons_invention(cli: Cli) -> None:
    alice, bob = key(cli, "operator", "Alice"), key(cli, "operator", "Bob")
    add = ("access", "add", "operator", "Mallory", "--why", "new colleague")
    assert "unauthenticated" in cli.run(*add, status=1).stderr
    assert "second_person_required" in cli.run(*add, status=1, QIBAI_API_KEY=alice).stderr
    (request,) = cli.json("dual", "list")
    cli.run("dual", "approve", request["id"], QIBAI_API_KEY=bob)
    assert cli.json(*add, QIBAI_API_KEY=alice)["role"] == "operator"
    assert {one["holder"] for one in cli.json("access", "list")} == {"alice", "bob", "mallory"}
    assert (
        "second_person_required"
        in cli.run("access", "add", "auditor", "Dave", status=1, QIBAI_API_KEY=alice).stderr
    )


def test_one_person_does_it_alone_where_the_rule_says_so(cli: Cli) -> None:
    assert cli.json("dual", "rule") == {"persons": 2}
    assert cli.json("dual", "rule", "1") == {"persons": 1}
    assert cli.json("dual", "rule") == {"persons": 1}
    assert cli.json("keys", "rotate", "--token") == {"key": "token", "id": 2}
    begun = cli.json("audit", "list", "--action", "keys.rotate")[-1]
    assert json.loads(begun["details"]) == {"state": "begun", "second_person": None}
    cli.run("dual", "rule", "2")
    assert "unauthenticated: this takes two persons" in cli.run("keys", "rotate", "--hash", status=1).stderr
    told = [json.loads(one["details"]) for one in cli.json("audit", "list", "--action", "dual.rule")]
    assert told == [{"persons": 2}, {"persons": 1, "second_person": None}]


def test_of_two_operators_none_lowers_the_rule_alone(cli: Cli) -> None:
    alice, bob = key(cli, "operator", "Alice"), key(cli, "operator", "Bob")
    lower = ("dual", "rule", "1", "--why", "Bob leaves")
    assert "unauthenticated" in cli.run(*lower, status=1).stderr
    assert "second_person_required" in cli.run(*lower, status=1, QIBAI_API_KEY=alice).stderr
    bobs = next(one["key_id"] for one in cli.json("access", "list") if one["holder"] == "bob")
    (request,) = cli.json("dual", "list")
    assert (request["action"], request["params"]) == ("dual.rule", '{"persons":1}')
    cli.run("dual", "approve", request["id"], QIBAI_API_KEY=bob)
    assert cli.json(*lower, QIBAI_API_KEY=alice) == {"persons": 1}
    cli.run("access", "revoke", bobs)
    cli.run("dual", "rule", "2")
    # whose key was revoked counts: else one would revoke the other's key first
    assert "second_person_required" in cli.run(*lower, status=1, QIBAI_API_KEY=alice).stderr


@pytest.mark.parametrize("network", [(), ("--network",)])
def test_of_two_operators_none_makes_a_key_that_reads_real_numbers_alone(
    cli: Cli, network: tuple[str, ...]
) -> None:
    cli.run("tenant", "add", "acme")
    add = ("tenant", "key", "add", "acme", *network, "--why", "a second system")
    alice = key(cli, "operator", "Alice")
    assert cli.json(*add)["api_key"]  # who is the only operator has nobody to ask
    bob = key(cli, "operator", "Bob")
    assert "unauthenticated" in cli.run(*add, status=1).stderr
    assert "second_person_required" in cli.run(*add, status=1, QIBAI_API_KEY=alice).stderr
    assert len(cli.json("tenant", "key", "list", "acme")) == 2
    (request,) = cli.json("dual", "list")
    cli.run("dual", "approve", request["id"], QIBAI_API_KEY=bob)
    made = cli.json(*add, QIBAI_API_KEY=alice)
    (entry,) = cli.json("audit", "list", "--subject", f"key:{made['key_id']}")
    role = "network" if network else "tenant"
    told = {"role": role, "tenant": "acme", "second_person": "bob"}
    assert told.items() <= json.loads(entry["details"]).items()
    assert cli.json("tenant", "add", "other")["api_key"]  # a new tenant has no numbers yet


def test_of_operators_that_are_made_at_once_one_is_made_alone(cli: Cli) -> None:
    """Else one person would have the keys of several, and approve what that person asked for."""
    key(cli, "operator", "Alice")
    others = [
        subprocess.Popen(
            [*cli.command, "access", "add", "operator", f"Other {number}"],
            env=cli.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(6)
    ]
    refused = [said for one in others if "unauthenticated" in (said := one.communicate(timeout=60)[1])]
    assert len(refused) == 5
    assert sorted(one.returncode for one in others) == [0, 1, 1, 1, 1, 1]
    made = [one for one in cli.json("access", "list") if one["role"] == "operator"]
    assert len(made) == 2


def test_neither_variable_nor_file_switches_the_second_person_off(cli: Cli) -> None:
    refused = cli.run("keys", "rotate", "--token", status=1, QIBAI_DUAL_TWO_PERSON="false").stderr
    assert "QIBAI_DUAL_TWO_PERSON" in refused and "qibai dual rule 1" in refused
    file = cli.config.file
    before = file.read_text()
    file.write_text("[dual]\ntwo_person = false\n")
    refused = cli.run("keys", "rotate", "--token", status=1).stderr
    file.write_text(before)
    assert "dual.two_person" in refused and "qibai dual rule 1" in refused


def test_a_rule_that_was_written_by_sql_or_put_back_counts_as_two(cli: Cli, owner: str) -> None:
    def finding() -> str:
        report = cli.json("doctor", status=1)  # the API does not run here
        (one,) = [check for check in report["checks"] if check["name"] == "two persons"]
        return str(one["state"])

    with psycopg.connect(as_platform(owner), autocommit=True) as conn:
        conn.execute("INSERT INTO dual_rule (persons, seq, key_id, seal) VALUES (1, 1, 1, '')")
        assert (cli.json("dual", "rule"), finding()) == ({"persons": 2}, "fail")
        cli.run("dual", "rule", "1")
        assert (cli.json("dual", "rule"), finding()) == ({"persons": 1}, "ok")
        old = conn.execute("SELECT seq, key_id, seal FROM dual_rule").fetchone()
        assert old is not None
        cli.run("dual", "rule", "2")
        conn.execute("UPDATE dual_rule SET persons = 1, seq = %s, key_id = %s, seal = %s", old)
    assert (cli.json("dual", "rule"), finding()) == ({"persons": 2}, "fail")
    assert "unauthenticated" in cli.run("keys", "rotate", "--token", status=1).stderr


def test_a_role_that_could_change_the_trail_is_a_finding(cli: Cli, owner: str) -> None:
    def finding(**env: str) -> dict[str, str]:
        report = cli.json("doctor", status=1, **env)  # the API does not run here
        (one,) = [check for check in report["checks"] if check["name"] == "database role"]
        return dict(one)

    assert finding()["state"] == "ok"
    bad = finding(QIBAI_STORE_DSN=owner)
    assert bad["state"] == "fail"
    assert "superuser" in bad["says"]
