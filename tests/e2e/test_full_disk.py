"""A file system that is full stops nothing for good: all parts serve again once there is room."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import Cli, cli_in
from up_tools import tenant_key

from disk_tools import small_disk
from qibai.client import ApiError, BindRequest, Client, NoAnswer
from qibai.testing.platform import wait_for

pytestmark = pytest.mark.voice
_BLOCK = 1 << 16


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """A home on a small file system of its own."""
    with (
        small_disk(tmp_path / "small", "150m") as place,
        cli_in(place / "home", QIBAI_API_WORKERS="2") as made,
    ):
        made.home.mkdir()
        yield made


def fill(path: Path) -> None:
    """Write until there is no room at all."""
    with path.open("wb", buffering=0) as file:
        for size in (_BLOCK, 512, 1):
            try:
                while True:
                    file.write(os.urandom(size))
            except OSError:
                continue


def bound(client: Client, order: int) -> bool:
    try:
        client.bind(BindRequest(mode="AXB", a="+8613812345678", b="+8613987654321", order_id=str(order)))
    except (ApiError, NoAnswer):
        return False
    return True


def test_a_full_disk_stops_nothing_for_good(cli: Cli) -> None:
    supervisor = cli.start()
    with Client(
        f"http://127.0.0.1:{cli.config.api.port}", tenant_key(cli), retries=0, timeout_s=10
    ) as client:
        assert bound(client, 0)
        filler = cli.home / "filler"
        fill(filler)
        for order in range(1, 200):
            if not bound(client, order):
                break
        for name in ("recorder", "kamailio", "api"):  # they end, and start again while there is no room
            os.kill(cli.parts()[name]["pid"], 9)
        wait_for(lambda: cli.parts()["api"]["restarts"] > 0, "the API is started again", 30)
        assert supervisor.poll() is None
        filler.unlink()
        wait_for(lambda: bound(client, 1_000), "bindings are made again", 60)
        wait_for(lambda: cli.run("status", status=None).returncode == 0, "every part is ready", 60)
    assert supervisor.poll() is None
