"""The database is restarted under a running API."""

from collections.abc import Callable, Iterator

import pytest

from api_tools import BIND, Api, Tenant


@pytest.fixture(scope="module")
def api(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server = Api(tmp_path_factory.mktemp("api"), database()).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tenant(api: Api) -> Tenant:
    return api.tenant("one", "70012345678")


def test_after_a_restart_of_the_database_the_first_of_each_kind_is_answered(api: Api, tenant: Tenant) -> None:
    """The connections that the worker still holds are dead; that is found before anything is done on them."""
    for turn in range(3):
        made = api.bind(tenant, order_id=f"restart-{turn}")
        for method, path, body, status in (
            ("POST", "/v1/bindings", BIND | {"order_id": f"restarted-{turn}"}, 201),
            ("GET", f"/v1/bindings/{made['id']}", None, 200),
            ("DELETE", f"/v1/bindings/{made['id']}", None, 200),
            ("GET", "/v1/calls", None, 200),
        ):
            ended = api.sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            assert ended  # some may have been gone by then
            answer = api.call(tenant, method, path, body)
            assert answer.status_code == status, (method, path, answer.text)
