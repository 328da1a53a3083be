"""What a worker process of the API holds: connections, keys, and the services that its handlers call."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from qibai.api.auth import Authenticator
from qibai.api.metrics import count_binds, count_releases
from qibai.api.metrics.engines import EngineWatch
from qibai.api.metrics.place import Watcher
from qibai.config import Config
from qibai.core.errors import SchemaError, StoreUnavailable
from qibai.service.bindings import Bindings
from qibai.service.key_reads import KeyReads
from qibai.service.messages import Outbox
from qibai.service.translation import Translator
from qibai.settings.live import LiveConfig
from qibai.store import dsn
from qibai.store.anchors import Witness
from qibai.store.connections import Connections
from qibai.store.failures import DriverError
from qibai.store.keys import Keyring
from qibai.store.migrate import pending

CONNECTIONS: Final = 8


class Services:
    """One a worker process."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._live = LiveConfig(config, "api")
        self._live.watch(self._change)
        self.dsn = dsn(config)
        self.keyring = Keyring.load(config.key_file)
        self.connections = Connections(
            self.dsn, CONNECTIONS, connect_timeout_s=config.store.connect_timeout_s
        )
        self.key_reads = KeyReads(self.connections)
        self.witness = Witness.of(config, self.keyring)
        self.auth = Authenticator(self.connections, self.keyring, plain_bearer=config.api.bearer_over_http)
        self.bindings = Bindings(
            self.connections, self.keyring, config, on_binds=count_binds, on_releases=count_releases
        )
        self.translator = Translator(config)
        self.outbox = Outbox(self.connections, self.translator, self.keyring, config.messaging)
        self.watcher = Watcher(self.connections, config.pools)
        self.engines = EngineWatch(config)
        self._probe: asyncio.Future[Any] | None = None
        self._prober = ThreadPoolExecutor(1, thread_name_prefix="probe")

    def _change(self, config: Config) -> None:
        self.config = config
        self.bindings.use(config)

    async def close(self) -> None:
        """Answer what waits, then close connections."""
        await self.bindings.close()
        await self.key_reads.close()
        await self.connections.close()
        self.translator.close()
        self._prober.shutdown(wait=False)

    async def check_ready(self) -> None:
        """Raise StoreUnavailable or SchemaError unless requests can be served."""
        probe = self._probe
        if probe is None or probe.done():  # a database that hangs is asked once at a time
            loop = asyncio.get_running_loop()
            probe = self._probe = loop.run_in_executor(self._prober, pending, self.dsn)
        try:
            async with asyncio.timeout(3):
                left = await asyncio.shield(probe)
        except (TimeoutError, OSError, DriverError):
            raise StoreUnavailable from None
        if left:
            raise SchemaError
