"""``qibai api``, ``recorder``, ``gateway``, ``kamailio``, ``rtpengine``: one part in the foreground."""

import os

import typer

from qibai import logs
from qibai.cli.options import config_of
from qibai.voice import engine, log


def api(ctx: typer.Context) -> None:
    """Run the HTTP API in the foreground (`qibai up` and systemd do so)."""
    from qibai.api import serve  # noqa: PLC0415  # slow to load, and of no use to other commands

    logs.configure()
    serve.run(config_of(ctx))


def recorder(ctx: typer.Context) -> None:
    """Run the recorder of calls in the foreground (`qibai up` and systemd do so)."""
    from qibai.records import recorder as records  # noqa: PLC0415  # as above

    logs.configure()
    records.run(config_of(ctx))


def gateway(ctx: typer.Context) -> None:
    """Run the gateway of text messages in the foreground (`qibai up` and systemd do so)."""
    from qibai.messaging import gateway as messaging  # noqa: PLC0415  # as above

    logs.configure()
    messaging.run(config_of(ctx))


def kamailio(ctx: typer.Context) -> None:
    """Write Kamailio's configuration and become Kamailio (systemd does so)."""
    config = config_of(ctx)
    engine.render(config)
    command = engine.kamailio_command(config)
    log.filter_stderr()
    os.execve(command[0], command, engine.kamailio_environment(config))  # noqa: S606


def rtpengine(ctx: typer.Context) -> None:
    """Become rtpengine (systemd does so)."""
    config = config_of(ctx)
    config.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = engine.rtpengine_command(config)
    os.execv(command[0], command)  # noqa: S606


COMMANDS = {
    "api": api,
    "recorder": recorder,
    "gateway": gateway,
    "kamailio": kamailio,
    "rtpengine": rtpengine,
}
