"""Kamailio and rtpengine as processes: their made configuration and the commands that start them.

Both run in the foreground and end on SIGTERM; the supervisor or systemd watches them.
"""

import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

import jinja2

import qibai
from qibai.config import Config, VoiceConfig
from qibai.core.errors import ConfigError
from qibai.core.sip import uri_host
from qibai.voice import mediafilter, medialog
from qibai.voice.peers import uri_of

_VERSION = re.compile(r"version: kamailio ([0-9]+)\.([0-9]+)\.")
SCRIPT: Final = "route.py"  #: in the run directory
ANSWER_TIMEOUT_MS: Final = 5_000  #: without any reply by then, the peer is not there
#: By then nobody answers an offer any more, whichever peer the call was handed on to.
_UNANSWERED_GRACE_S: Final = 40
#: Kamailio's allocators without debugging aids: less CPU a call than Debian's default.
ALLOCATORS: Final = ("-x", "fm", "-X", "fm")
_TRYING: Final = 2  #: of the dispatcher: it gets calls, and is not yet known to be there
_SYSTEM_PATH: Final = ("/usr/bin", "/bin", "/usr/sbin", "/sbin")
_FOREIGN: Final = ("PYTHONHOME", "PYTHONPLATLIBDIR", "__PYVENV_LAUNCHER__")
_SHARED_MB: Final = 128
_PACKAGE_MB: Final = 16


def kamailio_version() -> tuple[int, int]:
    """(major, minor) of the installed Kamailio. Raise ConfigError when there is none."""
    found = _VERSION.search(_output([program("kamailio"), "-v"]))
    if found is None:
        raise ConfigError("kamailio does not report its version; install Debian's kamailio package")
    return int(found[1]), int(found[2])


def render(config: Config) -> None:
    """Write kamailio.cfg, its routing script and TLS profile into the run directory."""
    voice, run = config.voice, config.run_dir
    run.mkdir(parents=True, exist_ok=True, mode=0o700)
    script = run / SCRIPT
    _write(script, _script(config))
    if voice.tls_port:
        _write(run / "tls.cfg", _template("tls.cfg.j2").render(voice=voice))
    write_peers(config)
    _write(
        run / "kamailio.cfg",
        _template("kamailio.cfg.j2").render(
            workers=voice.workers,
            tcp=bool(voice.tcp_port or voice.tls_port),
            tls=bool(voice.tls_port),
            media=voice.media,
            timed_media_pings=kamailio_version() >= (6, 0),
            sockets=_sockets(config),
            module_path=_module_path(),
            run_dir=run,
            script=script,
            ng_port=voice.media_ng_port,
            answer_timeout_ms=ANSWER_TIMEOUT_MS,
            ring_timeout_ms=voice.ring_timeout_s * 1000,
            probe_interval_s=voice.probe_interval_s,
            host=voice.host,
            uri_host=uri_host(voice.host),
            version=kamailio_version(),
        ),
    )


def write_peers(config: Config) -> None:
    """Write the list of peers that Kamailio's dispatcher reads at its start, and when it is asked to."""
    _write(config.run_dir / "peers.list", _peers(config.voice))


def kamailio_command(config: Config) -> list[str]:
    """Kamailio in the foreground, on the configuration that ``render`` wrote."""
    run = config.run_dir
    return [
        program("kamailio"),
        *("-f", str(run / "kamailio.cfg"), "-DD", "-E", "-P", str(run / "kamailio.pid"), "-Y", str(run)),
        *("-m", str(_SHARED_MB), "-M", str(_PACKAGE_MB)),
        *ALLOCATORS,
    ]


def kamailio_environment(config: Config) -> dict[str, str]:
    """The environment of ``kamailio_command``: what this process has, and the home of the platform.

    The interpreter within Kamailio is the system's. It looks for its library beside the first ``python3`` of
    PATH, which may be another release, such as pyenv's: so the system's folders come first.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    path = ":".join([*_SYSTEM_PATH, kept.get("PATH", "")]).rstrip(":")
    return {**kept, "PATH": path, "QIBAI_HOME": str(config.home), "PYTHONDONTWRITEBYTECODE": "1"}


def rtpengine_command(config: Config) -> list[str]:
    """rtpengine in the foreground and in user space, its control port on loopback alone."""
    voice = config.voice
    # A callee may ring without sound after a description; the recorder ends answered calls sooner.
    unanswered_s = voice.ring_timeout_s + _UNANSWERED_GRACE_S
    silent_s = max(voice.media_timeout_s, unanswered_s)
    return [
        *mediafilter.preloading(voice),
        program("rtpengine"),
        *("--config-file=none", "--foreground", "--table=-1", "--log-stderr", "--log-level=4"),
        f"--interface={voice.host}",
        f"--listen-ng=127.0.0.1:{voice.media_ng_port}",
        f"--port-min={voice.media_port_min}",
        f"--port-max={voice.media_port_max}",
        f"--timeout={silent_s}",
        f"--silent-timeout={max(silent_s, 3600)}",
        f"--offer-timeout={unanswered_s}",
        f"--final-timeout={24 * 3600}",
        "--num-threads=2",
        f"--pidfile={config.run_dir / 'rtpengine.pid'}",
        "--delete-delay=0",
        f"--log-mark-prefix={medialog.PREFIX}",
        f"--log-mark-suffix={medialog.SUFFIX}",
    ]


def allow_media(config: Config, allowed: bool) -> None:
    """Let a running Kamailio ask rtpengine, or have it refuse calls: a stranger may have rtpengine's port."""
    command = [program("kamcmd"), "-s", f"unix:{config.run_dir}/kamailio.ctl"]
    with contextlib.suppress(ConfigError):  # Kamailio does not run
        _output([*command, "rtpengine.enable", "all", str(int(allowed))])


def _sockets(config: Config) -> list[str]:
    voice = config.voice
    ports = {"udp": voice.udp_port, "tcp": voice.tcp_port, "tls": voice.tls_port}
    sockets = [f"{kind}:{uri_host(voice.host)}:{port}" for kind, port in ports.items() if port]
    if config.sip_messages:
        host, port = voice.inside
        sockets.append(f"udp:{host}:{port}")
    return list(dict.fromkeys(sockets))


def _peers(voice: VoiceConfig) -> str:
    """The dispatcher's list: set, destination, flags, priority."""
    flags = _TRYING if voice.probe_interval_s else 0  # until the first probe is answered
    called = [peer for peer in voice.peers if peer.priority >= 0]
    return "".join(f"1 {uri_of(peer)} {flags} {peer.priority}\n" for peer in called)


def _script(config: Config) -> str:
    """The file that Kamailio loads: it leads the system's Python to this installation."""
    paths = [
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
        str(Path(qibai.__file__).parent.parent),
    ]
    return _template("route.py.j2").render(
        paths=list(dict.fromkeys(paths)),
        home=str(config.home),
        python=f"{sys.version_info[0]}.{sys.version_info[1]}",
    )


@functools.cache
def _template(name: str) -> jinja2.Template:
    loader = jinja2.PackageLoader("qibai.voice")
    env = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)  # noqa: S701  # no HTML
    return env.get_template(name)


def _module_path() -> str:
    found = sorted(Path("/usr/lib").glob("*/kamailio/modules/tm.so"))
    if not found:
        raise ConfigError("Kamailio's modules are not where Debian puts them (/usr/lib/*/kamailio/modules)")
    return f"{found[0].parent}/"


def program(name: str) -> str:
    """Where a program is, also one that only root has in its PATH. Raise ConfigError."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise ConfigError(f"{name} is not installed; run scripts/setup")
    return found


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise ConfigError(f"{command[0]} cannot be run") from exc


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    path.chmod(0o600)
