"""``run``: the API's processes."""

import gc
import hashlib
import os
import resource
import shutil
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import structlog
import uvicorn
from uvicorn.supervisors import Multiprocess

from qibai.config import UNRULED, Config
from qibai.core.errors import ConfigError
from qibai.store.keys import Keyring

_log = structlog.get_logger("qibai.api")

_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # the folder in it is made new, with our mode
_OBJECTS: Final = 100_000  #: made and not yet dropped, until the collector looks for cycles among them

_OWN_FILES: Final = 128  #: that a worker needs beside its clients' connections


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT; answers what is under way first.

    Raise ConfigError, or KeyFileError when the key file cannot be used. A database that does not answer is
    no reason not to start: requests get 503 until it does.
    """
    api = config.api
    if bool(api.tls_cert) != bool(api.tls_key):
        raise ConfigError("api.tls_cert and api.tls_key belong together")
    Keyring.load(config.key_file)
    if config.pilot.rules.calendar is None:
        _log.warning("rules_off", reason=UNRULED)
    shared = _shared_folder(config)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(shared)
    # it imports metrics, which look at the environment on import
    from qibai.api.bounds import BoundedProtocol, Bounds  # noqa: PLC0415

    bounds = Bounds(
        connections=min(api.max_connections, _files() - _OWN_FILES),
        connections_per_address=api.max_connections_per_address,
        head_s=api.head_s,
        body_s=api.body_s,
        body_idle_s=api.body_idle_s,
        write_s=api.write_s,
    )
    settings = uvicorn.Config(
        partial(_app, config),
        factory=True,
        host=api.host,
        port=api.port,
        workers=api.workers,
        loop="uvloop",
        http=cast(Any, partial(BoundedProtocol, bounds)),
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=75,
        backlog=2048,
        ssl_certfile=api.tls_cert or None,
        ssl_keyfile=api.tls_key or None,
    )
    if api.workers > 1:
        Multiprocess(settings, sockets=[settings.bind_socket()]).run()
    else:
        uvicorn.Server(settings).run()


def _shared_folder(config: Config) -> Path:
    """An empty folder for the figures that processes share, in memory where there is a folder in memory.

    They are mapped files: on a disk that is full, the first touch of a new page would end the process.
    """
    digest = hashlib.sha256(os.fsencode(config.home)).hexdigest()[:16]
    for folder in (_MEMORY / f"qibai-metrics-{os.geteuid()}-{digest}", config.run_dir / "metrics"):
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, mode=0o700)
        except OSError as exc:
            _log.warning("metrics_folder", folder=str(folder), error=exc.strerror)
        else:
            return folder
    raise ConfigError(f"{config.run_dir} cannot be written; is the disk full?")


def _files() -> int:
    """How many files a process may have open, after asking for as many as the system allows."""
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if most == resource.RLIM_INFINITY else min(most, 65_536)
    if least != resource.RLIM_INFINITY and least < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        return wanted
    return wanted if least == resource.RLIM_INFINITY else least


def _app(config: Config) -> object:
    from qibai.api.app import create_app  # noqa: PLC0415  # metrics look at the environment on import

    app = create_app(config)
    # What was made by now stays for good; a bulk makes and drops a hundred thousand objects, none in a cycle.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS, 20, 100)
    return app
