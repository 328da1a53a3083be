"""The platform's database role: all that running needs, nothing that would undo what was recorded."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from audit_tools import ALICE, fill
from database_tools import as_platform
from qibai.config import Config, StoreConfig
from qibai.core.errors import SchemaError
from qibai.store import audit_verify, owner_dsn
from qibai.store import dsn as platform_dsn
from qibai.store.embedded import EmbeddedPostgres
from qibai.store.grants import excess
from qibai.store.keys import Keyring
from qibai.store.migrate import available
from qibai.store.upgrade import upgrade


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "ALTER TABLE audit DISABLE TRIGGER ALL",
        "DROP TRIGGER audit_only_grows ON audit",
        "DROP TABLE audit",
        "ALTER FUNCTION audit_only_grows RENAME TO other",
        "SET session_replication_role = replica",
        "DELETE FROM audit_head",
        "INSERT INTO audit_head DEFAULT VALUES",
        "DROP TRIGGER audit_head_advances ON audit_head",
        "DELETE FROM dual_request",
        "UPDATE api_key SET kind = 'operator'",
        "UPDATE api_key SET tenant_id = 2, created_at = now()",
        "DELETE FROM api_key",
        "INSERT INTO api_key_untied VALUES ('x')",
        "ALTER TABLE dual_request DISABLE TRIGGER ALL",
        "INSERT INTO schema_version (name) VALUES ('x')",
        "DELETE FROM schema_version",
        "CREATE TABLE mine (x int)",
        "ALTER TABLE binding ADD COLUMN x int",
        "TRUNCATE binding",
        "DROP TABLE tenant",
        "CREATE ROLE mine",
        "SET ROLE qibai",
    ],
)
def test_what_the_platform_may_not_do_is_refused(dsn: str, keyring: Keyring, statement: str) -> None:
    (point,) = fill(as_platform(dsn), keyring, 1)
    with psycopg.connect(as_platform(dsn)) as conn:
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidGrantOperation)):
            conn.execute(statement)  # type: ignore[arg-type]
        conn.rollback()
        assert audit_verify.sealed_head(conn, keyring) == point


def test_the_platform_can_move_the_head_forwards_only(dsn: str, keyring: Keyring) -> None:
    fill(as_platform(dsn), keyring, 2)
    for seq in (0, 1, 2, 4):
        with psycopg.connect(as_platform(dsn)) as conn, pytest.raises(psycopg.Error) as caught:
            conn.execute("UPDATE audit_head SET seq = %s", [seq])
        assert caught.value.sqlstate == "QB005"


def test_a_role_with_too_many_rights_is_found(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        assert excess(conn) == ["everything: it is a superuser"]
    with psycopg.connect(as_platform(dsn), autocommit=True) as conn:
        conn.execute("GRANT ALL ON audit TO CURRENT_USER")  # PostgreSQL only warns that nothing was granted
        assert excess(conn) == []
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("GRANT DELETE, TRUNCATE ON audit TO qibai_platform")
        conn.execute("ALTER TABLE audit_head OWNER TO qibai_platform")
    with psycopg.connect(as_platform(dsn)) as conn:
        assert excess(conn) == [
            "everything on audit_head: it owns it",
            "DELETE on audit",
            "TRUNCATE on audit",
        ]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[tuple[Config, EmbeddedPostgres]]:
    config = Config(home=tmp_path)
    server = EmbeddedPostgres(config)
    server.start()
    yield config, server
    server.stop()


def test_a_home_of_an_older_release_gets_the_second_role(
    home: tuple[Config, EmbeddedPostgres], keyring: Keyring
) -> None:
    """The data, the owner and the owner's password file stay; a lost password file is made anew."""
    config, server = home
    before = (config.home / "pgpass").read_text()
    with psycopg.connect(server.owner_dsn, autocommit=True) as conn:
        conn.execute("DROP ROLE qibai_platform")
    (config.home / "pgpass.platform").unlink()
    assert upgrade(config) == available()
    (config.home / "pgpass.platform").write_text("*:*:*:qibai_platform:lost\n")
    assert upgrade(config, ALICE) == []
    assert (config.home / "pgpass").read_text() == before
    with psycopg.connect(platform_dsn(config)) as conn:
        assert conn.execute("SELECT current_user, count(*) FROM binding").fetchone() == ("qibai_platform", 0)
        assert excess(conn) == []


def test_migrations_run_as_the_owner_and_are_in_the_trail(home: tuple[Config, EmbeddedPostgres]) -> None:
    config, _ = home
    assert upgrade(config, ALICE) == available()
    with psycopg.connect(platform_dsn(config)) as conn:
        owners = conn.execute(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
        (entry,) = audit_verify.entries(conn)
    assert owners == [("qibai",)]
    assert (entry.action, entry.actor) == ("schema.migrate", "alice")
    assert available()[-1] in entry.details


def test_a_server_elsewhere_has_an_owner_and_a_platform(home: tuple[Config, EmbeddedPostgres]) -> None:
    """Roles without any special right; the platform's own machine does not know the owner's password."""
    _, server = home
    with psycopg.connect(server.owner_dsn, autocommit=True) as conn:
        conn.execute("CREATE ROLE there_owner LOGIN PASSWORD 'a'")
        conn.execute("CREATE ROLE there LOGIN PASSWORD 'b'")
        conn.execute("CREATE DATABASE there OWNER there_owner")
    with psycopg.connect(make_conninfo(server.owner_dsn, dbname="there")) as conn:
        conn.execute("ALTER DEFAULT PRIVILEGES FOR ROLE there_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")

    def config(user: str, owner: str) -> Config:
        def dsn(role: str) -> str:
            secret = {"there": "b", "there_owner": "a"}[role]
            return make_conninfo(server.owner_dsn, dbname="there", user=role, password=secret)

        return Config(store=StoreConfig(dsn=dsn(user), owner_dsn=dsn(owner) if owner else ""))

    with pytest.raises(SchemaError, match="owner_dsn"):
        upgrade(config("there", ""))
    assert upgrade(config("there", "there_owner")) == available()
    assert upgrade(config("there", "")) == []
    with psycopg.connect(platform_dsn(config("there", ""))) as conn:
        assert excess(conn) == []
        assert conn.execute("SELECT standing_now()").fetchone() == (1,)
    alone = config("there_owner", "")  # one role for both: it works, and doctor says what is wrong with it
    assert owner_dsn(alone) == platform_dsn(alone)
    with psycopg.connect(platform_dsn(alone)) as conn:
        assert "everything on audit: it owns it" in excess(conn)
