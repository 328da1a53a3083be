"""Kill -9 of each process in turn under binds: what was acknowledged stays, the platform mends itself."""

import json
import os
import signal
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cli_tools import Cli, cli_in
from up_tools import tenant_key

from qibai.core.ids import parse_id
from qibai.store import dsn
from qibai.testing.platform import wait_for

pytestmark = pytest.mark.voice


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    with cli_in(tmp_path / "home") as made:
        yield made


class Binder(threading.Thread):
    """Binds without pause and remembers what was acknowledged with 201."""

    def __init__(self, url: str, bearer: str) -> None:
        super().__init__()
        self._url, self._bearer = url, bearer
        self.ending = threading.Event()
        self.acknowledged: list[str] = []

    def run(self) -> None:
        count = 0
        while not self.ending.is_set():
            count += 1
            item = {
                "mode": "AXB",
                "a": f"+86138{count:08d}",
                "b": f"+86139{count:08d}",
                "order_id": f"o{count}",
            }
            request = urllib.request.Request(  # noqa: S310  # our own loopback URL
                f"{self._url}/v1/bindings",
                json.dumps(item).encode(),
                {"Content-Type": "application/json", "Authorization": f"Bearer {self._bearer}"},
            )
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                    if answer.status == 201:
                        self.acknowledged.append(json.load(answer)["id"])
            except (OSError, ValueError):  # down just now, which is the point
                self.ending.wait(0.05)


def test_acknowledged_bindings_survive_every_crash(cli: Cli) -> None:
    cli.start()
    store = dsn(cli.config)
    bearer = tenant_key(cli)
    binder = Binder(f"http://127.0.0.1:{cli.config.api.port}", bearer)
    binder.start()
    try:
        for name in ("postgres", "kamailio", "rtpengine", "api", "recorder", "gateway"):
            before = len(binder.acknowledged)
            wait_for(
                lambda before=before: len(binder.acknowledged) > before, f"binds before {name} is killed", 30
            )
            pid = cli.parts()[name]["pid"]
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda name=name: cli.parts()[name]["restarts"] > 0, f"{name} was restarted", 30)
            wait_for(cli.all_ready, f"all is ready after {name} was killed", 60)
        before = len(binder.acknowledged)
        wait_for(lambda: len(binder.acknowledged) > before, "binds after the last crash", 30)
    finally:
        binder.ending.set()
        binder.join()
    with psycopg.connect(store) as conn:
        there = set(conn.execute("SELECT code, id FROM binding").fetchall())
        halves = conn.execute(
            "SELECT count(*) FROM binding b WHERE "
            "(SELECT count(*) FROM route r WHERE r.code = b.code AND r.binding_id = b.id) <> 2"
        ).fetchone()
    assert {parse_id("b", id) for id in binder.acknowledged} <= there
    assert halves == (0,), "every binding has both its routes"
