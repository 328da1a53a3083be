"""API keys that SQL made or changed let nobody in; those of an older release are taken over once."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from api_tools import Api
from qibai.api.auth import KEY_AGE_S
from qibai.cli.doctor.api_keys import check_api_keys
from qibai.cli.doctor.finding import State
from qibai.client import ApiError, Client
from qibai.config import Config, StoreConfig
from qibai.core.roles import Role
from qibai.store import dsn, tenants
from qibai.store import migrate as migrations
from qibai.store.keys import Keyring
from qibai.store.migrate import available, migrate
from qibai.store.rotation import rotate_values
from qibai.store.tenants import NewApiKey
from qibai.store.upgrade import upgrade


@pytest.fixture
def api(database: Callable[[], str], tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path / "api", database())
    try:
        yield made.start()
    finally:
        made.stop()


def status(api: Api, key: NewApiKey, *, signed: bool = False) -> int:
    time.sleep(KEY_AGE_S)  # the API may know the key as it was
    with Client(api.url, key.bearer, signed=signed) as client:
        try:
            client.codes()
        except ApiError as exc:
            return exc.status
    return 200


@pytest.mark.parametrize("signed", [False, True])
def test_a_key_that_sql_changed_or_wrote_lets_nobody_in(api: Api, signed: bool) -> None:
    acme, other, wang = api.tenant("acme", "70012345678"), api.tenant("other"), api.operator("wang")
    assert status(api, acme.key, signed=signed) == 200

    def write(*row: object) -> None:
        api.sql(
            "UPDATE api_key SET kind = %s, tenant_id = %s, person = %s, digest = %s WHERE id = %s",
            *row, other.key.id,
        )  # fmt: skip

    forged = NewApiKey("forgedforged", "a" * 43)
    api.sql(
        "INSERT INTO api_key (id, person, kind, digest, secret)"
        " SELECT %s, 'mallory', 'operator', %s, secret FROM api_key WHERE id = %s",
        forged.id, digest(forged), wang.key.id,
    )  # fmt: skip
    for row in (
        ("operator", None, "mallory", digest(other.key)),
        ("network", other.id, None, digest(other.key)),
        ("tenant", acme.id, None, digest(other.key)),
        ("tenant", other.id, None, digest(wang.key)),
    ):
        write(*row)
        found = check_api_keys(api.config)
        assert found.state is State.FAIL and other.key.id in found.says and forged.id in found.says
        assert acme.key.id not in found.says and wang.key.id not in found.says
        assert status(api, other.key, signed=signed) == 401
    write("tenant", other.id, None, digest(other.key))
    assert status(api, forged, signed=signed) == 401
    assert status(api, other.key, signed=signed) == status(api, acme.key, signed=signed) == 200


def digest(key: NewApiKey) -> bytes:
    return hashlib.sha256(key.secret.encode()).digest()


def old_key(conn: psycopg.Connection, keyring: Keyring) -> NewApiKey:
    """A tenant's key as the releases before wrote it."""
    key = NewApiKey(os.urandom(6).hex(), "old")
    conn.execute(
        "INSERT INTO api_key (id, tenant_id, digest, secret) SELECT %s, id, %s, %s FROM tenant",
        [
            key.id,
            digest(key),
            keyring.seal(key.secret, b"api_key:" + key.id.encode()),
        ],
    )
    return key


async def test_keys_of_an_older_release_are_taken_over_once(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(home=tmp_path, store=StoreConfig(dsn=dsn))
    keyring = Keyring.load_or_create(config.key_file)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("DROP SCHEMA public CASCADE")
        conn.execute("CREATE SCHEMA public")
        older = [name for name in available() if name < "0065"]
        with monkeypatch.context() as patch:
            patch.setattr(migrations, "available", lambda: older)
            migrate(dsn)
        conn.execute("INSERT INTO tenant (name) VALUES ('one')")
        before = old_key(conn, keyring)
        assert "0065_api_key_ties.sql" in migrate(dsn)  # killed here, before keys were tied
        upgrade(config)
        later = old_key(conn, keyring)
        upgrade(config)
    async with await psycopg.AsyncConnection.connect(dsn) as there:
        key = await tenants.find_key(there, keyring, before.id)
        assert key is not None and (key.kind, key.signing_secret(keyring)) == (Role.TENANT, "old")
        assert await tenants.find_key(there, keyring, later.id) is None


def test_a_key_that_a_newer_key_file_sealed_is_no_wrong_key(api: Api) -> None:
    """Keys were rotated on another node, and their file is not here yet: 503, and 200 once it is."""
    acme = api.tenant("acme", "70012345678")
    theirs = api.config.home / "theirs.json"
    shutil.copy(api.config.key_file, theirs)
    rotate_values(dsn(api.config), Keyring.load(theirs), settle_s=0)
    for signed in (False, True):
        assert status(api, acme.key, signed=signed) == 503
    shutil.copy(theirs, api.config.key_file)
    for signed in (False, True):
        assert status(api, acme.key, signed=signed) == 200
