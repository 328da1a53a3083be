"""Readers that prefer a standby: they leave a server that became the primary."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from store_rows import A, X, add_route

from qibai.config import Config
from qibai.store.connect import ROLE_S
from qibai.store.embedded import EmbeddedPostgres
from qibai.store.keys import Keyring
from qibai.store.routes import RouteReader
from qibai.store.upgrade import upgrade
from qibai.testing.platform import wait_for


@pytest.fixture
def standbys(tmp_path: Path, keyring: Keyring) -> Iterator[list[EmbeddedPostgres]]:
    """Two servers with the same data, a route among them; both only read."""
    first, second = Config(home=tmp_path / "1"), Config(home=tmp_path / "2")
    server = EmbeddedPostgres(first)
    server.start()
    try:
        upgrade(first)
        with psycopg.connect(server.dsn, autocommit=True) as conn:
            add_route(conn, keyring)
    finally:
        server.stop()
    (first.pg_dir / "standby.signal").touch()
    shutil.copytree(first.home, second.home, symlinks=True, ignore=shutil.ignore_patterns(".s.PGSQL*"))
    owner = first.pg_dir.stat()
    for path in (second.home, *second.home.rglob("*")):
        shutil.chown(path, owner.st_uid, owner.st_gid)
    made = [EmbeddedPostgres(config) for config in (first, second)]
    try:
        for one in made:
            one.start()
        yield made
    finally:
        for one in made:
            one.stop()


def readers(server: EmbeddedPostgres) -> int:
    with psycopg.connect(server.owner_dsn) as conn:
        said = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'qibai-routes'"
        ).fetchone()
    assert said is not None
    return int(said[0])


def test_a_reader_leaves_a_server_that_was_promoted(
    standbys: list[EmbeddedPostgres], keyring: Keyring
) -> None:
    hosts = ",".join(str(conninfo_to_dict(one.dsn)["host"]) for one in standbys)
    reader = RouteReader(
        make_conninfo(standbys[0].dsn, host=hosts, target_session_attrs="prefer-standby"),
        keyring,
        statement_timeout_ms=2_000,
    )
    assert reader.find(X, A) is not None
    (used,) = [one for one in standbys if readers(one)]
    (other,) = [one for one in standbys if one is not used]
    with psycopg.connect(used.owner_dsn, autocommit=True) as conn:
        promoted = conn.execute("SELECT pg_promote(true, 30)").fetchone()
        assert promoted == (True,)

    def moved() -> bool:
        assert reader.find(X, A) is not None
        return readers(other) == 1 and readers(used) == 0

    wait_for(moved, "the reader at the other standby", 20)
    time.sleep(1.2 * ROLE_S)  # it looks again meanwhile
    assert moved(), "it stays there"
    reader.close()
