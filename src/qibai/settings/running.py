"""What each part runs with: a digest of every key that concerns it, written as it starts.

A digest is keyed by a salt of the record's own, since a key such as ``store.dsn`` may hold a password.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from qibai.config import Config
from qibai.files import replace_file

_EVERY: Final = frozenset(("recorder", "gateway", "api", "rtpengine", "kamailio"))
#: Which parts a key concerns, by the longest beginning that is here.
_CONCERNED: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(parts.split())
    for name, parts in {
        "store": "recorder gateway api kamailio",
        "store.owner_dsn": "",
        "api": "api",
        "binding": "api",
        "binding.max_call_s": "api recorder",
        "voice": "kamailio",
        "voice.host": "kamailio rtpengine gateway",
        "voice.udp_port": "kamailio gateway",
        "voice.tcp_port": "kamailio gateway",
        "voice.tls_port": "kamailio gateway",
        "voice.ring_timeout_s": "kamailio recorder rtpengine",
        "voice.media": "kamailio",
        "voice.media_ng_port": "kamailio rtpengine recorder",
        "voice.media_port_min": "rtpengine",
        "voice.media_port_max": "rtpengine",
        "voice.media_timeout_s": "rtpengine recorder",
        "messaging": "gateway",
        "messaging.enabled": "gateway kamailio",
        "messaging.sip": "gateway kamailio",
        "messaging.sip_port": "gateway kamailio",
        "messaging.content": "gateway api",
        "messaging.hook_networks": "gateway api",
        "messaging.hook_plain_http": "gateway api",
        "messaging.validity_s": "gateway api",
        "recorder": "recorder",
        "retention": "recorder",
        "pilot": "api gateway kamailio recorder",
        "dual": "api",
        "audit": "api",
        "pools": "api recorder",
        "node": "recorder gateway api kamailio",
    }.items()
}
#: Keys that a part takes over while it runs.
LIVE: Final[Mapping[str, frozenset[str]]] = {
    "kamailio": frozenset(("voice.peers",)),
    "gateway": frozenset(("messaging.links", "messaging.pair_per_minute", "messaging.number_per_minute")),
    "api": frozenset(
        (
            "api.max_bulk",
            "binding.default_ttl_s",
            "binding.max_ttl_s",
            "binding.quarantine_s",
            "binding.default_max_call_s",
            "binding.max_call_s",
        )
    ),
}


def _flat(config: Config) -> dict[str, Any]:
    plain = msgspec.to_builtins(config, enc_hook=str)
    found = {
        f"{name}.{key}": value
        for name, table in plain.items()
        if isinstance(table, dict)
        for key, value in table.items()
    }
    return {**found, "node": plain["node"]}


def _concerns(key: str, part: str) -> bool:
    return part in _CONCERNED.get(key, _CONCERNED.get(key.partition(".")[0], _EVERY))


def _record(config: Config, part: str) -> Path:
    return config.run_dir / "running" / f"{part}.json"


def note_running(config: Config, part: str) -> None:
    """Write down which process ``part`` is, and what it runs with from now on.

    A full disk leaves no record, and stops nothing.
    """
    salt = secrets.token_bytes(16)
    keys = {key: _digest(salt, value) for key, value in _flat(config).items() if _concerns(key, part)}
    path = _record(config, part)
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, json.dumps({"pid": os.getpid(), "salt": salt.hex(), "keys": keys}).encode())


def process_of(config: Config, part: str) -> int | None:
    """The process id of a part that wrote its record itself, whether or not it still runs; None: unknown."""
    try:
        pid = json.loads(_record(config, part).read_bytes())["pid"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if isinstance(pid, int) else None


def note_taken(config: Config, part: str, keys: Iterable[str]) -> None:
    """Write down that ``part`` runs with these keys of ``config``, and with the others as before."""
    path = _record(config, part)
    flat = _flat(config)
    with suppress(OSError, ValueError, KeyError, TypeError):
        record = json.loads(path.read_bytes())
        salt = bytes.fromhex(record["salt"])
        record["keys"] |= {key: _digest(salt, flat[key]) for key in keys}
        replace_file(path, json.dumps(record).encode())


def differences(config: Config, parts: Iterable[str] = _EVERY) -> dict[str, list[str]]:
    """By part, the keys that it runs with other values of than ``config`` has."""
    flat = _flat(config)
    found = {}
    for part in parts:
        try:
            record = json.loads(_record(config, part).read_bytes())
            salt, keys = bytes.fromhex(record["salt"]), record["keys"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        differ = [key for key, value in flat.items() if key in keys and keys[key] != _digest(salt, value)]
        if differ:
            found[part] = differ
    return found


def advice(changed: Mapping[str, Iterable[str]]) -> str:
    """What takes these keys over, by part: a reload, or a restart where a key needs one."""
    if all(key in LIVE.get(part, ()) for part, keys in changed.items() for key in keys):
        return "qibai reload"
    return "qibai down, then qibai up (or systemctl restart qibai.target)"


def with_live(running: Config, part: str, wanted: Config) -> Config:
    """``running`` with what ``part`` can take over from ``wanted``."""
    sections: dict[str, dict[str, Any]] = {}
    for key in LIVE.get(part, ()):
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = getattr(getattr(wanted, section), name)
    return msgspec.structs.replace(
        running,
        **{name: msgspec.structs.replace(getattr(running, name), **new) for name, new in sections.items()},
    )


def _digest(salt: bytes, value: Any) -> str:
    return hmac.new(salt, json.dumps(value, sort_keys=True).encode(), hashlib.sha256).hexdigest()[:32]
