"""The platform's parts, in the order in which they start."""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from qibai.config import Config, load
from qibai.core.errors import ConfigError, StoreUnavailable
from qibai.core.masking import mask_numbers
from qibai.settings.needed import NeededPort, needed_ports
from qibai.settings.running import note_running, with_live
from qibai.store.actors import operator_here
from qibai.store.embedded import EmbeddedPostgres
from qibai.store.upgrade import upgrade
from qibai.supervise import probes
from qibai.voice import engine
from qibai.voice.log import kamailio_filter
from qibai.voice.medialog import MediaLogFilter


@dataclass(frozen=True, slots=True)
class Part:
    """How one part is made ready, run, found ready, and stopped. All functions may block."""

    name: str
    command: Callable[[], list[str]]
    is_ready: Callable[[int], bool]  #: whether it answers, and it is the process of this number that does
    prepare: Callable[[], None] = lambda: None
    after_ready: Callable[[], None] = lambda: None
    on_stranger: Callable[[bool], None] = lambda there: None  #: somebody else has, or has no more, its port
    stop_signal: signal.Signals = signal.SIGTERM
    needs: tuple[str, ...] = ()
    ports: tuple[NeededPort, ...] = ()  #: that it has to have, and nobody else
    env: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    shown: Callable[[], Callable[[str], str | None]] = lambda: (
        mask_numbers
    )  #: what may be shown of its output


def parts(config: Config) -> list[Part]:
    """The parts that this configuration asks for; they stop in the opposite order."""
    made = []
    store: tuple[str, ...] = ()
    if not config.store.dsn:
        made.append(_postgres(config))
        store = ("postgres",)
    env = {**os.environ, "QIBAI_HOME": str(config.home)}
    made.append(Part("recorder", _own("recorder"), lambda pid: True, needs=store, env=env))
    if config.messaging.enabled:
        made.append(
            Part(
                "gateway",
                _own("gateway"),
                lambda pid: probes.gateway_works(config),
                ports=_ports(config, "gateway"),
                prepare=lambda: probes.gateway_file(config).unlink(missing_ok=True),  # an earlier one's
                needs=store,
                env=env,
            )
        )
    made.append(
        Part(
            "api",
            _own("api"),
            lambda pid: probes.api_answers(config),
            needs=store,
            ports=_ports(config, "api"),
            env=env,
        )
    )
    if config.voice.enabled:
        media: tuple[str, ...] = ()
        if config.voice.media:
            made.append(_rtpengine(config))
            media = ("rtpengine",)
        made.append(
            Part(
                "kamailio",
                lambda: engine.kamailio_command(config),
                lambda pid: probes.voice_answers(config),
                ports=_ports(config, "kamailio"),
                prepare=lambda: _render(config),
                needs=(*store, *media),
                env=engine.kamailio_environment(config),
                shown=lambda: kamailio_filter(config),
            )
        )
    return made


def _own(command: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-m", "qibai", command]


def _rtpengine(config: Config) -> Part:
    return Part(
        "rtpengine",
        lambda: engine.rtpengine_command(config),
        lambda pid: probes.media_answers(config),
        prepare=lambda: note_running(config, "rtpengine"),
        on_stranger=lambda there: engine.allow_media(config, not there),
        ports=_ports(config, "rtpengine"),
        shown=lambda: MediaLogFilter(config.voice.host),
    )


def _render(config: Config) -> None:
    """Kamailio's script reads the configuration as it is now: so its peers are those of now, too."""
    with suppress(ConfigError):
        config = with_live(config, "kamailio", load(config.home))
    engine.render(config)
    note_running(config, "kamailio")


def _ports(config: Config, part: str) -> tuple[NeededPort, ...]:
    return tuple(port for port in needed_ports(config) if port.part == part)


def _postgres(config: Config) -> Part:
    server = EmbeddedPostgres(config)

    def prepare() -> None:
        pid = server.running_pid()
        if pid is not None:  # of a supervisor that was killed: it is ending, or has to
            os.kill(pid, server.stop_signal)
            deadline = time.monotonic() + 30
            while server.running_pid() is not None and time.monotonic() < deadline:
                time.sleep(0.05)
        server.prepare()

    def is_ready(pid: int) -> bool:
        if server.running_pid() != pid:
            return False
        try:
            server.wait_ready(timeout_s=0.5)
        except StoreUnavailable:
            return False
        return True

    return Part(
        "postgres",
        server.command,
        is_ready,
        prepare=prepare,
        after_ready=lambda: _migrate(config),
        stop_signal=server.stop_signal,
    )


def _migrate(config: Config) -> None:
    upgrade(config, operator_here(config.node))
