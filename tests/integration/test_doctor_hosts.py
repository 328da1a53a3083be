"""``qibai doctor`` looks at each host of a connection string that names several."""

import socket
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from qibai.cli.doctor.finding import State
from qibai.cli.doctor.hosts import check_hosts
from qibai.store.migrate import pending


@pytest.fixture
def mute() -> Iterator[str]:
    """The port of a host that takes connections and never says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield str(listener.getsockname()[1])


def _dsn(dsn: str, *others: str, **more: str) -> str:
    """The server behind others on loopback; without others: the server twice."""
    said = conninfo_to_dict(dsn)
    hosts = ["127.0.0.1"] * len(others) or [str(said["host"])]
    ports = list(others) or [str(said.get("port") or 5432)]
    return make_conninfo(
        dsn,
        host=",".join([*hosts, str(said["host"])]),
        port=",".join([*ports, str(said.get("port") or 5432)]),
        **more,
    )


def test_one_host_is_no_matter_of_its_own(dsn: str) -> None:
    assert check_hosts("hosts", dsn, writes=True) == []


def test_a_host_that_does_not_answer_is_named(dsn: str, mute: str) -> None:
    (one,) = check_hosts("hosts", _dsn(dsn, mute, target_session_attrs="read-write"), writes=True)
    assert one.state is State.WARN and one.mend
    assert one.says.startswith(f"127.0.0.1:{mute} does not answer, ") and one.says.endswith(" primary")


def test_two_that_take_writes_are_a_fault(dsn: str) -> None:
    (one,) = check_hosts("hosts", _dsn(dsn, target_session_attrs="read-write"), writes=True)
    assert one.state is State.FAIL and one.says.count(" primary") == 2


def test_none_that_takes_writes_is_a_fault(dsn: str, mute: str) -> None:
    name = sql.Identifier(str(conninfo_to_dict(dsn)["dbname"]))
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    (one,) = check_hosts("hosts", _dsn(dsn, mute, target_session_attrs="read-write"), writes=True)
    assert one.state is State.FAIL and one.says.endswith(" read-only primary")


def test_a_string_that_may_lead_to_a_standby_is_warned_of(dsn: str, mute: str) -> None:
    (one,) = check_hosts("hosts", _dsn(dsn, mute), writes=True)
    assert one.state is State.WARN and "target_session_attrs" in one.mend


def test_readers_that_want_a_standby_and_have_none_are_warned_of(dsn: str) -> None:
    (one,) = check_hosts("hosts", _dsn(dsn, target_session_attrs="prefer-standby"), writes=False)
    assert one.state is State.WARN and "standby" in one.mend


def test_migrations_are_looked_for_behind_a_mute_host(dsn: str, mute: str) -> None:
    assert pending(_dsn(dsn, mute, target_session_attrs="read-write")) == []
