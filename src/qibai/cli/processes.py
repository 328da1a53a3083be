"""``qibai api``, ``recorder``, ``gateway``, ``kamailio``, ``rtpengine``: one part in the foreground."""

import os

import typer

from qibai import logs
from qibai.cli.options import config_of
from qibai.config import Config
from qibai.settings.running import note_running
from qibai.supervise import preflight
from qibai.voice import engine, log
from qibai.voice.medialog import MediaLogFilter


def api(ctx: typer.Context) -> None:
    """Run the HTTP API in the foreground (`qibai up` and systemd do so).

    Example: qibai --home /var/lib/qibai api
    """
    from qibai.api import serve  # noqa: PLC0415  # slow to load, and other commands do not need it

    logs.configure()
    serve.run(_begin(config_of(ctx), "api"))


def recorder(ctx: typer.Context) -> None:
    """Run the recorder of calls in the foreground (`qibai up` and systemd do so).

    Example: qibai --home /var/lib/qibai recorder
    """
    from qibai.records import recorder as records  # noqa: PLC0415  # as above

    logs.configure()
    records.run(_begin(config_of(ctx), "recorder"))


def gateway(ctx: typer.Context) -> None:
    """Run the gateway of text messages in the foreground (`qibai up` and systemd do so).

    Example: qibai --home /var/lib/qibai gateway
    """
    from qibai.messaging import gateway as messaging  # noqa: PLC0415  # as above

    logs.configure()
    messaging.run(_begin(config_of(ctx), "gateway"))


def kamailio(ctx: typer.Context) -> None:
    """Write Kamailio's configuration and become Kamailio (systemd does so).

    Example: qibai --home /var/lib/qibai kamailio
    """
    config = _begin(config_of(ctx), "kamailio")
    engine.render(config)
    command = engine.kamailio_command(config)
    log.filter_stderr(log.kamailio_filter(config))
    os.execve(command[0], command, engine.kamailio_environment(config))  # noqa: S606


def rtpengine(ctx: typer.Context) -> None:
    """Become rtpengine (systemd does so).

    Example: qibai --home /var/lib/qibai rtpengine
    """
    config = _begin(config_of(ctx), "rtpengine")
    config.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = engine.rtpengine_command(config)
    log.filter_stderr(MediaLogFilter(config.voice.host))
    os.execv(command[0], command)  # noqa: S606


def _begin(config: Config, part: str) -> Config:
    """What a part does first: without a supervisor, look for its ports; then note what it runs with.

    Raise ConfigMistakes.
    """
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if "QIBAI_PART_OF" not in os.environ:
        preflight.check_part(config, part)
    if part in ("recorder", "gateway", "api") or "QIBAI_PART_OF" not in os.environ:
        note_running(config, part)
    return config
