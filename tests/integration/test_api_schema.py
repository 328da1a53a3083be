"""schemathesis over the OpenAPI document: the server keeps to what it says of itself."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from api_tools import Api
from qibai.core.roles import Role

# Rules that a schema cannot say (parties, lifetimes, kinds of keys) are answered with 4xx.
_SETTINGS = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 422, 400]

[[operations]]  # each item fails by itself: the whole is accepted
include-path = "/v1/bindings/bulk"
checks.negative_data_rejection.enabled = false
"""


#: Which addresses each kind of key is tried on.
_NOT_FOR = {
    Role.TENANT: "^/v1/(translations|admin|trace)",
    Role.NETWORK: "^/v1/(?!translations)",
    Role.OPERATOR: "^/v1/(?!admin|trace)",
}


@pytest.mark.parametrize("kind", _NOT_FOR)
def test_schemathesis_finds_nothing(database: Callable[[], str], tmp_path: Path, kind: Role) -> None:
    server = Api(tmp_path / "api", database()).start()
    try:
        operator = kind is Role.OPERATOR
        who = server.operator() if operator else server.tenant("one", "70012345678", kind=kind)
        settings = tmp_path / "schemathesis.toml"
        settings.write_text(_SETTINGS)
        command = [
            str(Path(sys.executable).parent / "schemathesis"),
            f"--config-file={settings}",
            "run",
            server.url + "/openapi.json",
            "-H",
            f"Authorization: Bearer {who.key.bearer}",
            "--max-examples=15",
            "--phases=examples,coverage,fuzzing",
            "--generation-database=none",
            "--continue-on-failure",
            "--seed=1",
            "--no-color",
            "--exclude-path-regex=" + _NOT_FOR[kind],
        ]
        tests = Path(__file__).parent.parent
        environment = os.environ | {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(tests)}
        if kind is not Role.NETWORK:  # one kind of key is tried with signing headers, too
            environment["SCHEMATHESIS_UNSIGNED"] = "1"
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=150, check=False
        )
        assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-2_000:]
    finally:
        server.stop()
