"""A gateway with one loopback link, in a process of its own, to be killed.

python loop_gateway.py HOME DSN PORT
"""

import asyncio
import sys
from pathlib import Path

from gateway_tools import FACTORIES, config_for
from qibai import logs
from qibai.messaging.gateway import Gateway


def main() -> None:
    home, dsn, port = sys.argv[1:]
    logs.configure()
    config = config_for(Path(home), dsn, {"carrier": int(port)})
    asyncio.run(Gateway(config, FACTORIES).run())


if __name__ == "__main__":
    main()
