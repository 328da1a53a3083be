"""A platform that ``qibai up`` runs, with callers and callees around it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from cli_tools import Cli, cli_in

from qibai.client import BindRequest, Call, Client
from qibai.core.numbering import Code, Number700
from qibai.store import codes, dsn, tenants
from qibai.store.keys import Keyring
from qibai.testing.leaks import LeakChecker
from qibai.testing.platform import free_port, listening, wait_for
from qibai.testing.sipp import Scenario, run
from voice_tools import CALLEE_AT, CALLER_AT, A, B


@contextmanager
def platform_with_peers(folder: Path, **variables: str) -> Iterator[Cli]:
    """A home, not started yet, that knows where callers and callees are; ``variables`` configure it."""
    home = folder / "home"
    # SIPp callees are there for one call and answer no OPTIONS: probed, they would soon count as dead.
    with cli_in(home, **{"QIBAI_VOICE_PROBE_INTERVAL_S": "0"} | variables) as cli:
        home.mkdir()
        cli.config.file.write_text(
            f'[[voice.peers]]\nname = "callees"\nhost = "{CALLEE_AT}"\nport = {free_port(CALLEE_AT)}\n'
            f'[[voice.peers]]\nname = "callers"\nhost = "{CALLER_AT}"\npriority = -1\n'
        )
        yield cli


def tenant_key(cli: Cli) -> str:
    """The bearer key of a new tenant that has a code."""

    async def make() -> str:
        keyring = Keyring.load(cli.config.key_file)
        async with await psycopg.AsyncConnection.connect(dsn(cli.config), autocommit=True) as conn:
            tenant = await tenants.add_tenant(conn, "one")
            # With a serial behind it, this code never reads as nine digits of a party, forwards or backwards.
            await codes.add_codes(conn, [Code(24681357)], tenant_id=tenant.id)
            return (await tenants.add_key(conn, keyring, tenant.id)).bearer

    return asyncio.run(make())


class Both:
    """One call of A to B, to its end."""

    def __init__(self, cli: Cli, client: Client, folder: Path, **more: int) -> None:
        self._cli, self._client, self._folder = cli, client, folder
        item = BindRequest(mode="AXB", a=A.e164, b=B.e164, order_id="o1", **more)
        self.binding = client.bind(item)
        self.x = Number700.parse(self.binding.x)

    def call(
        self, caller: Scenario, callee: Scenario, meanwhile: Callable[[Call], object] | None = None
    ) -> Call:
        """Run both sides, and return the one record; ``meanwhile`` gets it while the call runs."""
        voice = self._cli.config.voice
        at = (CALLEE_AT, voice.peers[0].port)
        far = run(callee, self._folder, "callee", local=at)
        try:
            wait_for(lambda: listening(at), "the callee")
            near = run(
                caller,
                self._folder,
                "caller",
                local=(CALLER_AT, free_port(CALLER_AT)),
                remote=(voice.host, voice.udp_port),
            )
            try:
                if meanwhile is not None:
                    wait_for(
                        lambda: self._records() and self._records()[0].answered_at, "the answer's record"
                    )
                    meanwhile(self._records()[0])
                near.wait()
                far.wait()
            finally:
                near.stop()
        finally:
            far.stop()
        assert not LeakChecker({"callee": B}, {"callee": CALLEE_AT}).scan_text(*near.received)
        assert not LeakChecker({"caller": A}, {"caller": CALLER_AT}).scan_text(*far.received)
        wait_for(lambda: any(one.ended_at for one in self._records()), "the end's record")
        (record,) = self._records()
        return record

    def _records(self) -> list[Call]:
        return list(self._client.calls(binding=self.binding.id))
