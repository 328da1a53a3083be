"""A trace by a party's number answers whether it is the party: nobody may try one number after the other."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import niquests
from cli_tools import Cli

from api_tools import A, Api, Tenant
from qibai.cli.doctor.finding import State
from qibai.cli.doctor.traces import check_traces
from qibai.core.roles import Role


@contextmanager
def served(dsn: str, home: Path, workers: int = 1) -> Iterator[Api]:
    api = Api(home, dsn, workers=workers)
    try:
        yield api.start()
    finally:
        api.stop()


def trace(api: Api, who: Tenant, number: str, party: str | None = A) -> niquests.Response:
    wanted = {"number": number, "at": datetime.now(UTC).isoformat()}
    return api.call(who, "POST", "/v1/trace", wanted | ({} if party is None else {"party": party}))


def test_the_eleventh_in_an_hour_is_refused_and_reported(database: Callable[[], str], tmp_path: Path) -> None:
    with served(database(), tmp_path / "api") as api:
        acme = api.tenant("acme", "70012345678")
        wang, zhang = api.operator("wang"), api.person("zhang", Role.AUDITOR)
        x = api.bind(acme, mode="AXB", order_id="one")["x"]
        for last in range(10):
            assert trace(api, wang, x, f"+861380013800{last}").status_code == 200
        assert check_traces(api.config).state is State.OK
        again = api.operator("wang")  # a new key does not begin a new count
        for key in (wang, again):
            refused = trace(api, key, x)
            assert (refused.status_code, refused.json()["code"]) == (429, "trace_limited")
            assert 3_000 < int(refused.headers["Retry-After"]) <= 3_600
        cli = Cli(tmp_path / "home", QIBAI_API_URL=api.url, QIBAI_API_KEY=wang.key.bearer)
        said = cli.run("trace", x, "--at", datetime.now(UTC).isoformat(), "--party", A, status=1).stderr
        assert "trace_limited" in said
        assert trace(api, wang, x, None).status_code == 200  # without a party nothing is learnt
        assert trace(api, zhang, x).status_code == 200  # another person is not kept from it

        found = check_traces(api.config)
        assert found.state is State.WARN
        # the command tried once: a client does not knock again and again
        assert f"wang (key:{wang.key.id}): 10 answered, 2 refused" in found.says
        assert f"wang (key:{again.key.id}): 0 answered, 1 refused" in found.says
        assert "zhang" not in found.says
        text = niquests.get(api.url + "/metrics").text or ""
        assert 'qibai_traces_by_party_total{outcome="refused"} 3.0' in text
        assert 'qibai_traces_by_party_total{outcome="answered"} 11.0' in text
        assert "too many traces by party" in api.log.read_text()
        entries = api.sql("SELECT details FROM audit WHERE action = 'trace' AND actor = 'wang'")
        assert sum("trace_limited" in details for (details,) in entries) == 2  # the first of each key
        assert len(entries) == 10 + 2 + 1
        for kept in ("audit", "party_trace", "party_trace_refused"):
            assert A[3:] not in str(api.sql(f"SELECT * FROM {kept}"))  # noqa: S608
        assert A[3:] not in api.log.read_text()


def test_thirty_in_a_day(database: Callable[[], str], tmp_path: Path) -> None:
    with served(database(), tmp_path / "api") as api:
        acme, wang = api.tenant("acme", "70012345678"), api.operator("wang")
        x = api.bind(acme, mode="AXB", order_id="one")["x"]
        for _ in range(3):
            for _ in range(10):
                assert trace(api, wang, x).status_code == 200
            assert trace(api, wang, x).status_code == 429
            api.sql("UPDATE party_trace SET at = at - interval '61 minutes'")
        refused = trace(api, wang, x)
        assert refused.status_code == 429
        assert 20 * 3_600 < int(refused.headers["Retry-After"]) < 21 * 3_600
        api.sql("UPDATE party_trace SET at = at - interval '24 hours'")
        assert trace(api, wang, x).status_code == 200


def test_many_at_once_share_one_limit(database: Callable[[], str], tmp_path: Path) -> None:
    with served(database(), tmp_path / "api", workers=2) as api, ThreadPoolExecutor(8) as threads:
        acme, wang = api.tenant("acme", "70012345678"), api.operator("wang")
        x = api.bind(acme, mode="AXB", order_id="one")["x"]
        answers = list(threads.map(lambda _: trace(api, wang, x).status_code, range(24)))
        assert (answers.count(200), answers.count(429)) == (10, 14)
