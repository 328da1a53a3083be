"""A gateway with one loopback link, in a process of its own, to be killed.

python loop_gateway.py HOME DSN PORT [NODE]
"""

import asyncio
import sys
from pathlib import Path

from gateway_tools import FACTORIES, config_for
from qibai import logs
from qibai.messaging.gateway import Gateway


def main() -> None:
    home, dsn, port, node = [*sys.argv[1:], "n1"][:4]
    logs.configure()
    config = config_for(Path(home), dsn, {"carrier": int(port)}, node=node)
    asyncio.run(Gateway(config, FACTORIES).run())


if __name__ == "__main__":
    main()
