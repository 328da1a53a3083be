"""Mistakes of the configuration are found before anything starts, all at once."""

from pathlib import Path

import pytest
from cli_tools import Cli

from disk_tools import small_disk
from qibai.store import keyfile
from tls_tools import make_certificate


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    made = Cli(tmp_path / "home")
    made.home.mkdir()
    return made


def check(cli: Cli, text: str) -> list[dict[str, str]]:
    (cli.home / "qibai.toml").write_text(text)
    said = cli.json("config", "check", status=1)
    assert said["ok"] is False
    refused = cli.run("up", status=1)
    assert "config_invalid" in refused.stderr
    assert not (cli.home / "keys.json").exists()
    found: list[dict[str, str]] = said["mistakes"]
    return found


def test_a_sound_configuration(cli: Cli) -> None:
    assert cli.json("config", "check") == {"ok": True, "mistakes": []}


def test_all_at_once(cli: Cli) -> None:
    found = check(
        cli,
        "[voice]\nhost = '0.0.0.0'\nring_timeout_s = 0\n"
        "[api]\ntls_cert = '/none.pem'\ntls_key = '/none.key'\n"
        "[[messaging.links]]\nname = 'm'\nprotocol = 'smpp'\nhost = '192.0.2.1'\naccount = 'a'\n"
        "password_file = '/none'\n",
    )
    assert [one["key"] for one in found] == [
        "voice.ring_timeout_s",
        "voice.host",
        "api.tls_cert",
        "api.tls_key",
        "password_file of link m",
    ]


def test_certificates(cli: Cli, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    certificate, key = make_certificate(tmp_path / "one")
    _, other = make_certificate(tmp_path / "two")
    (one,) = check(cli, f"[api]\ntls_cert = '{certificate}'\ntls_key = '{other}'\n")
    assert "the key is not that of the certificate" in one["says"]
    (one,) = check(cli, f"[api]\ntls_cert = '{key}'\ntls_key = '{key}'\n")
    assert "in PEM" in one["says"]
    (one,) = check(cli, f"[api]\ntls_cert = '{tmp_path}'\ntls_key = '{key}'\n")
    assert "is a folder" in one["says"]


def test_data_of_another_postgresql(cli: Cli) -> None:
    (cli.home / "pg").mkdir()
    (cli.home / "pg" / "PG_VERSION").write_text("9\n")
    keyfile.create(cli.home / "keys.json")
    said = cli.json("config", "check", status=1)
    assert "was made by PostgreSQL 9" in said["mistakes"][0]["says"]
    assert "was made by PostgreSQL 9" in cli.run("up", "--detach", status=1).stderr


def test_secrets_that_others_can_read(cli: Cli) -> None:
    (cli.home / "pgpass").touch(0o644)
    (one,) = check(cli, "")
    assert one["mend"] == f"chmod 600 {cli.home / 'pgpass'}"


@pytest.mark.parametrize("text", ["", "{", '{"value": {}}'])
def test_a_key_file_that_is_none(cli: Cli, text: str) -> None:
    keys = cli.home / "keys.json"
    keys.write_text(text)
    keys.chmod(0o600)
    (one,) = cli.json("config", "check", status=1)["mistakes"]
    assert one["where"] == str(keys) and "is not a key file" in one["says"]


@pytest.mark.parametrize(("mode", "refused"), [(0o644, True), (0o660, True), (0o640, False), (0o600, False)])
def test_the_secret_of_a_link_that_others_can_read(
    cli: Cli, tmp_path: Path, mode: int, refused: bool
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    secret.chmod(mode)
    (cli.home / "qibai.toml").write_text(
        "[[messaging.links]]\nname = 'm'\nprotocol = 'smpp'\nhost = '192.0.2.1'\naccount = 'a'\n"
        f"password_file = '{secret}'\n"
    )
    said = cli.json("config", "check", status=int(refused))
    assert [one["mend"] for one in said["mistakes"]] == [f"chmod 600 {secret}"] * refused


def test_an_address_that_is_not_here(cli: Cli) -> None:
    found = check(cli, "[voice]\nhost = '192.0.2.77'\n")
    assert any("192.0.2.77 is not an address of this machine" in one["says"] for one in found)


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        ("not a dsn secret", "give a connection string as host="),
        ("postgresql://x:secret@[", "give a connection string as host="),
        ("host=127.0.0.1 port=99999 password=secret", "its port is not a whole number from 1 to 65535"),
        ("host=a,b,c port=1,2", "it names 3 hosts and 2 ports"),
    ],
)
def test_a_connection_string_that_is_none(cli: Cli, dsn: str, says: str) -> None:
    (one,) = check(cli, f"[store]\ndsn = '{dsn}'\n")
    assert (one["key"], one["says"][: len(says)]) == ("store.dsn", says)
    (cli.home / "qibai.toml").write_text(f"[store]\nread_dsn = '{dsn}'\n")
    assert cli.json("config", "check", status=1)["mistakes"][0]["key"] == "store.read_dsn"
    refused = cli.run("tenant", "list", status=1, QIBAI_STORE_DSN=dsn).stderr
    assert f"config_invalid: store.dsn: {says}" in " ".join(refused.split())
    assert "secret" not in refused


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (
            ("calls", "--api-url", "127.0.0.1:7000", "--api-key", "qb_1_x"),
            "give an address as https://host:port",
        ),
        (("init",), "cannot be written"),
    ],
)
def test_no_traceback(cli: Cli, args: tuple[str, ...], says: str) -> None:
    home = "/proc/home" if args == ("init",) else str(cli.home)  # where nobody can make a folder
    done = cli.run(*args, status=1, QIBAI_HOME=home)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_status_while_the_configuration_has_a_mistake(cli: Cli) -> None:
    wrong = (("[api]\nworkers = 0\n", "api.workers: give a whole number"), ("[api\n", "is not a TOML file"))
    for text, says in wrong:
        (cli.home / "qibai.toml").write_text(text)
        said = cli.json("status", status=3)
        assert (said["running"], said["parts"]) == (False, {})
        assert says in said["mistakes"][0]
        shown = cli.run("status", status=3).stderr
        assert "nothing runs in" in shown and says in shown


def test_login_from_a_pipe(cli: Cli) -> None:
    done = cli.run("login", stdin="qb_x_y\n")
    assert ".py" not in done.stderr and "qb_x_y" not in done.stdout + done.stderr
    assert '"qb_x_y"' in (cli.home / "cli.json").read_text()
    assert "give the API key" in cli.run("login", status=1, stdin="").stderr


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "4m") as place:
        cli = Cli(place / "home")
        cli.home.mkdir()
        (one,) = check(cli, "")
        assert "MB are free" in one["says"] and "are needed to start" in one["says"]
        assert not cli.config.pg_dir.exists()
