"""The distribution ``qibai-client`` in an environment where nothing of the platform is."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from importlib.metadata import Distribution, distribution
from pathlib import Path

import msgspec
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from api_tools import A, Api, B

REPOSITORY = Path(__file__).parent.parent.parent
_CLOCK = ("LD_PRELOAD", "FAKETIME")  # by which faketime moves the clock of a process and its children
SCRIPT = """
import importlib.metadata, importlib.util, json, os, sys
from qibai.client import BindRequest, Client
with Client(os.environ["QIBAI_URL"], os.environ["QIBAI_KEY"]) as client:
    made = client.bind(BindRequest(mode="AXB", a=sys.argv[1], b=sys.argv[2], order_id="alone"))
    status = client.get(made.id).status
    refused = None
    try:
        client.get("b00000000-0000000000000")
    except Exception as exc:
        refused = [type(exc).__name__, exc.status]
said = None
try:
    from qibai.client import AsyncClient
    import asyncio
    async def ask():
        async with AsyncClient(os.environ["QIBAI_URL"], os.environ["QIBAI_KEY"]) as client:
            return (await client.get(made.id)).status
    said = asyncio.run(ask())
except ImportError as exc:
    said = str(exc)
print(json.dumps({
    "status": status,
    "refused": refused,
    "asynchronous": said,
    "distributions": sorted(one.name for one in importlib.metadata.distributions()),
    "parts": [name for name in ("store", "api", "cli", "core") if importlib.util.find_spec("qibai." + name)],
}))
"""


class Seen(msgspec.Struct):
    status: str
    refused: tuple[str, int]
    asynchronous: str
    distributions: list[str]
    parts: list[str]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    said(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, "./client")
    (made,) = folder.glob("qibai_client-*.whl")
    return made


def said(*command: str | Path, **more: str) -> str:
    """What a command prints; it succeeds, without the network's help."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        | {name: value for name, value in os.environ.items() if name.startswith(_CLOCK)}
        | more,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def needed(names: list[str]) -> dict[str, Distribution]:
    """These distributions as this environment has them, and what they need in turn."""
    found: dict[str, Distribution] = {}
    while names:
        name = canonicalize_name(names.pop())
        if name not in found:
            found[name] = distribution(name)
            wanted = (Requirement(one) for one in found[name].requires or ())
            names += [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def lay(one: Distribution, packages: Path) -> None:
    """Install as a wheel would, from the files that are here."""
    for file in one.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            target = packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), target)


@pytest.mark.parametrize(
    ("extra", "names"),
    [("", ["msgspec"]), ("[asyncio]", ["msgspec", "niquests"])],
    ids=["waiting", "asyncio"],
)
def test_it_installs_and_binds_without_the_platform(
    wheel: Path, database: Callable[[], str], tmp_path: Path, extra: str, names: list[str]
) -> None:
    place = tmp_path / "venv"
    venv.create(place, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(place), "platbase": str(place)}))
    own = needed(list(names))
    for one in own.values():
        lay(one, packages)
    python = place / "bin" / "python"
    # pip refuses when something is missing: there is no index.
    said(sys.executable, "-m", "pip", "--python", python, "install", f"{wheel}{extra}")

    server = Api(tmp_path / "api", database()).start()
    try:
        who = server.tenant("one", "70012345678")
        text = said(python, "-P", "-c", SCRIPT, A, B, QIBAI_URL=server.url, QIBAI_KEY=who.key.bearer)
    finally:
        server.stop()
    seen = msgspec.json.decode(text, type=Seen)
    assert (seen.status, seen.refused, seen.parts) == ("active", ("NotFound", 404), [])
    assert {canonicalize_name(name) for name in seen.distributions} == {"qibai-client", *own}
    assert seen.asynchronous == (
        "active" if extra else "AsyncClient needs niquests: pip install 'qibai-client[asyncio]'"
    )
