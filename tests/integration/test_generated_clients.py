"""Clients that generators write from the OpenAPI document: whole, of sound types, and they bind."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api_tools import Api, Tenant

PEERS = Path(__file__).parent.parent / "peers"
PYTHON = PEERS / "openapi-python" / ".venv" / "bin" / "python"
TYPESCRIPT = PEERS / "openapi-ts"
#: `client.py` is the same whatever the document says, and not sound in itself.
MYPY = """
[mypy]
strict = True
warn_return_any = False
[mypy-qibai_api.client]
ignore_errors = True
"""


@pytest.fixture(scope="module")
def api(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server = Api(tmp_path_factory.mktemp("api"), database()).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tenant(api: Api) -> Tenant:
    return api.tenant("one", "70012345678")


@pytest.fixture
def document(api: Api, tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_bytes(api.call(None, "GET", "/openapi.json").content or b"")
    return path


def said_by(*command: str | Path, cwd: Path, **more: str) -> str:
    """What a command prints, both streams; it succeeds."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | {"NO_COLOR": "1"} | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def order_of(api: Api, tenant: Tenant, id: str) -> str:
    order: str = api.call(tenant, "GET", f"/v1/bindings/{id}").json()["order_id"]
    return order


def test_in_python(api: Api, tenant: Tenant, document: Path, tmp_path: Path) -> None:
    said = said_by(
        *(PYTHON, "-m", "openapi_python_client", "generate", "--path", document, "--fail-on-warning"),
        *("--meta", "none", "--output-path", tmp_path / "qibai_api"),
        cwd=tmp_path,
        PATH=f"{PYTHON.parent}:{os.environ['PATH']}",
    )
    assert "warning" not in said.lower()
    made = list((tmp_path / "qibai_api" / "api").glob("*/[!_]*.py"))
    operations = [
        op for item in api.call(None, "GET", "/openapi.json").json()["paths"].values() for op in item
    ]
    assert len(made) == len(operations)
    call = tmp_path / "call.py"
    call.write_bytes((PEERS / "openapi-python" / "call.py").read_bytes())
    (tmp_path / "mypy.ini").write_text(MYPY)
    said_by(sys.executable, "-m", "mypy", "--python-executable", PYTHON, call, cwd=tmp_path)
    id = said_by(PYTHON, call, cwd=tmp_path, QIBAI_URL=api.url, QIBAI_KEY=tenant.key.bearer).strip()
    assert order_of(api, tenant, id) == "generated"


def test_in_typescript(api: Api, tenant: Tenant, document: Path, tmp_path: Path) -> None:
    tools = TYPESCRIPT / "node_modules" / ".bin"
    said = said_by(
        *(
            tools / "openapi-typescript",
            document,
            "--default-non-nullable=false",
            "-o",
            tmp_path / "api.d.ts",
        ),
        cwd=tmp_path,
    )
    assert "warn" not in said.lower()
    (tmp_path / "node_modules").symlink_to(TYPESCRIPT / "node_modules")
    (tmp_path / "call.ts").write_bytes((TYPESCRIPT / "call.ts").read_bytes())
    said_by(
        *(tools / "tsc", "--strict", "--target", "es2022", "--module", "node16", "call.ts"),
        cwd=tmp_path,
    )
    id = said_by("node", "call.js", cwd=tmp_path, QIBAI_URL=api.url, QIBAI_KEY=tenant.key.bearer).strip()
    assert order_of(api, tenant, id) == "typed"
