"""The checks of ``qibai doctor``, in the order in which things depend on each other."""

import contextlib
import os
import platform
import re
import shutil
import subprocess
import time
from typing import Final

from qibai import __version__
from qibai.cli.doctor.api_keys import check_api_keys
from qibai.cli.doctor.audit import check_audit
from qibai.cli.doctor.backup import check_backup_age
from qibai.cli.doctor.call_losses import check_call_losses
from qibai.cli.doctor.finding import Finding, fail, guarded, ok, skip, warn
from qibai.cli.doctor.hosts import check_hosts
from qibai.cli.doctor.messages import check_messages
from qibai.cli.doctor.node import check_node
from qibai.cli.doctor.peers import check_peers
from qibai.cli.doctor.pilot import check_pilot
from qibai.cli.doctor.rights import check_rights
from qibai.cli.doctor.routes import check_routes
from qibai.cli.doctor.running import check_running
from qibai.cli.doctor.secrets import check_secrets
from qibai.cli.doctor.spool import check_recorder
from qibai.cli.doctor.traces import check_traces
from qibai.cli.doctor.watched import check_watched
from qibai.config import Config
from qibai.core.errors import ConfigError, KeyFileError, QibaiError
from qibai.settings.needed import needed_ports
from qibai.store import dsn, made_keys, read_dsn
from qibai.store.failures import DriverError, why_not_connected
from qibai.store.hosts import connect, server_clock
from qibai.store.keycheck import check_key_file
from qibai.store.keys import Keyring
from qibai.store.migrate import pending
from qibai.supervise import portuse, probes, state
from qibai.supervise.look import look
from qibai.voice import mediafilter
from qibai.voice.engine import kamailio_version

_MIN_FREE_MB: Final = 512
_CLOCK_S: Final = 2.0


def run_checks(config: Config) -> list[Finding]:
    """All of them; one that fails does not keep the others from running."""
    running = state.supervisor_pid(config) is not None
    found = [
        _versions(),
        *guarded("home", lambda: _home(config)),
        *guarded("key file", lambda: _key_file(config)),
        *guarded("secrets", lambda: check_secrets(config)),
        *guarded("configuration", lambda: check_running(config)),
        *guarded("disk", lambda: _disk(config)),
        *guarded("supervisor", lambda: _supervisor(config)),
        *guarded("store", lambda: _store(config)),
        *guarded("pilot", lambda: check_pilot(config)),
        *guarded("codes", lambda: check_watched(config)),
        *guarded("api", lambda: _api(config, running)),
    ]
    if config.voice.enabled:
        found += guarded("kamailio", _kamailio_version)
        found += guarded("voice", lambda: _voice(config, running))
        found += guarded("media", lambda: _media(config, running))
        found += guarded("peers", lambda: check_peers(config))
    else:
        found.append(skip("voice", "switched off (voice.enabled)"))
    found += guarded("spool", lambda: check_recorder(config))
    found += guarded("call records", lambda: check_call_losses(config))
    found += guarded("text messages", lambda: check_messages(config))
    found += guarded("backup", lambda: check_backup_age(config))
    return found


def _versions() -> Finding:
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "unknown system")
    return ok("versions", f"qibai {__version__}, Python {platform.python_version()}, {system}")


def _home(config: Config) -> Finding:
    if not config.home.is_dir():
        return fail("home", f"{config.home} is not there", "qibai init (or give --home)")
    if not os.access(config.home, os.W_OK):
        return fail("home", f"{config.home} cannot be written", f"run as its owner, or chown {config.home}")
    if config.home.stat().st_mode & 0o007:
        return warn(
            "home", f"other users of this machine can look into {config.home}", f"chmod 700 {config.home}"
        )
    return ok("home", str(config.home))


def _key_file(config: Config) -> Finding:
    path = config.key_file
    try:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            return fail("key file", f"{path} has mode {mode:o}: others can read it", f"chmod 600 {path}")
        Keyring.load(path)
    except FileNotFoundError:
        return fail("key file", f"{path} is not there", "restore its backup; for a new platform: qibai init")
    except (OSError, KeyFileError) as exc:
        return fail("key file", str(exc), "restore it from its backup")
    return ok("key file", f"{path}, mode {mode:o}")


def _disk(config: Config) -> Finding:
    folder = next(path for path in (config.home, *config.home.parents) if path.exists())
    usage = shutil.disk_usage(folder)
    free = usage.free // 2**20
    says = f"{free} MB free of {usage.total // 2**20} MB"
    if free < _MIN_FREE_MB:
        return fail("disk", says, f"make room on the file system of {folder}")
    if usage.free * 20 < usage.total:
        return warn("disk", says, f"less than 5 % is free on the file system of {folder}; make room soon")
    return ok("disk", says)


def _supervisor(config: Config) -> Finding:
    pid = state.supervisor_pid(config)
    if pid is None:
        return skip("supervisor", "not running (under systemd the units take its place)")
    parts = look(config)
    bad = [
        name + (f" ({part['says']})" if part["says"] else "")
        for name, part in parts.items()
        if part["state"] != "ready"
    ]
    if bad or not parts:
        return fail("supervisor", f"not ready: {', '.join(bad)}", f"see {config.log_dir}/qibai.log")
    restarts = sum(part["restarts"] for part in parts.values())
    return ok("supervisor", f"process {pid}, {len(parts)} parts ready, {restarts} restarts")


def _store(config: Config) -> list[Finding]:
    mend = "check store.dsn and that the server runs" if config.store.dsn else "qibai up"
    found = check_hosts("store hosts", dsn(config), writes=True)
    try:
        with connect(dsn(config), connect_timeout_s=config.store.connect_timeout_s) as conn:
            began = time.monotonic()
            server_time = server_clock(conn)
            took = time.monotonic() - began
            version = conn.info.server_version // 10_000
    except DriverError as exc:
        return [*found, fail("store", why_not_connected(exc), mend), skip("schema", "needs the store")]
    if version < 15:
        found.append(fail("store", f"PostgreSQL {version} is too old", "use PostgreSQL 15 or later"))
    else:
        found.append(ok("store", f"PostgreSQL {version}, answers in {took * 1000:.1f} ms"))
    apart = abs(server_time - time.time())
    if apart > _CLOCK_S:
        found.append(
            fail("clock", f"this machine and PostgreSQL are {apart:.0f} s apart", "run NTP (chrony) on both")
        )
    else:
        found.append(ok("clock", f"within {max(apart, 0.001):.3f} s of PostgreSQL's"))
    try:
        left = pending(dsn(config))
        found.append(
            fail("schema", f"{len(left)} migrations are waiting", "qibai migrate")
            if left
            else ok("schema", "current")
        )
    except QibaiError as exc:
        found.append(fail("schema", exc.message, "qibai migrate, or install the release that fits"))
    found.append(_keys(config))
    if config.voice.enabled:
        found.append(check_node(config))
    found += guarded("database role", lambda: check_rights(config))
    found += guarded("API keys", lambda: check_api_keys(config))
    found += guarded("audit trail", lambda: check_audit(config))
    found += guarded("traces", lambda: check_traces(config))
    found += guarded("routes", lambda: check_routes(config))
    if read_dsn(config) != dsn(config):
        found += check_hosts("standby hosts", read_dsn(config), writes=False)
        try:
            connect(read_dsn(config), connect_timeout_s=config.store.connect_timeout_s).close()
            found.append(ok("standby", "answers"))
        except DriverError:
            found.append(fail("standby", "the standby does not answer", "check store.read_dsn"))
    return found


def _keys(config: Config) -> Finding:
    try:
        Keyring.load(config.key_file)
    except KeyFileError:
        return skip("keys", "needs the key file")
    try:
        with connect(dsn(config), connect_timeout_s=config.store.connect_timeout_s) as conn:
            check_key_file(conn, config.key_file)
            try:
                made_keys.require_newest(conn, config.key_file)
            except KeyFileError as exc:
                return warn("keys", exc.message, "copy it before those keys are used; parts that run take it")
    except KeyFileError as exc:
        return fail(
            "keys", exc.message, "put that key file in its place; parts that run take it by themselves"
        )
    except (DriverError, QibaiError):
        return skip("keys", "needs the store and its schema")
    return ok("keys", "they are those of this database")


def _api(config: Config, running: bool) -> Finding:
    where = f"port {config.api.port} of {config.api.host}"
    status = probes.api_status(config, "/readyz")
    if status == 200:
        return ok("api", f"ready on {where}")
    if status is not None:
        return fail("api", f"answers {status} on {where}", "mend the store; the API recovers by itself")
    return fail("api", f"does not answer on {where}", _mend(config, "api", running, config.api.port))


def _kamailio_version() -> Finding:
    try:
        major, minor = kamailio_version()
    except ConfigError as exc:
        return fail("kamailio", exc.message, "scripts/setup")
    return ok("kamailio", f"version {major}.{minor}")


def _voice(config: Config, running: bool) -> Finding:
    voice = config.voice
    port = voice.udp_port or voice.tcp_port or voice.tls_port
    status = probes.sip_status(config)
    if status == 200:
        return ok("voice", f"Kamailio answers OPTIONS on {voice.host}:{port}")
    if status is not None:
        return ok("voice", f"Kamailio answers on {voice.host}:{port} ({status}: this address is no peer)")
    return fail(
        "voice", f"Kamailio does not answer on {voice.host}:{port}", _mend(config, "kamailio", running, port)
    )


def _media(config: Config, running: bool) -> Finding:
    voice = config.voice
    if not voice.media:
        return warn("media", "media is not anchored: SDP shows each side's address", "set voice.media = true")
    if probes.media_answers(config):
        version = _rtpengine_version()
        if not mediafilter.is_wanted(voice):
            return warn(
                "media",
                "everything that a party sends is relayed, including packets that identify the party",
                "set voice.media_rtp_only = true, unless peers need T.38 or DTLS",
            )
        if not mediafilter.LIBRARY.exists():
            return warn(
                "media",
                "everything that a party sends is relayed: the filter that lets only RTP pass is missing",
                f"scripts/setup makes {mediafilter.LIBRARY}; then restart rtpengine",
            )
        return ok("media", f"rtpengine {version} answers on port {voice.media_ng_port}")
    return fail(
        "media",
        f"rtpengine does not answer on port {voice.media_ng_port}",
        _mend(config, "rtpengine", running, voice.media_ng_port),
    )


def _rtpengine_version() -> str:
    program = shutil.which("rtpengine", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "rtpengine"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=5, check=False)
        if found := re.search(r"([0-9]+\.[0-9]+\.[0-9]+)", told.stdout + told.stderr):
            return found[1]
    return ""


def _mend(config: Config, part: str, running: bool, port: int) -> str:
    if running:
        return f"the supervisor restarts it; see {part} in {config.log_dir / 'qibai.log'}"
    for needed in needed_ports(config):
        if needed.part == part and needed.number == port and (taken := portuse.refusal(needed)):
            return f"{taken}; stop that or change the port, then qibai up"
    return f"qibai up, or systemctl start qibai-{part}"
