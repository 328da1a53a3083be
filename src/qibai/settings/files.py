"""What the configuration needs of this machine's files: certificates, keys, passwords, room for data."""

import os
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from qibai.config import Config
from qibai.core.errors import KeyFileError
from qibai.settings.mistakes import Mistake
from qibai.settings.needed import needed_ports
from qibai.store import keyfile
from qibai.store.pgbinaries import NEW_DATA_BYTES

_OLD_MB: Final = 8  #: to start with a database that is there


def file_mistakes(config: Config) -> list[Mistake]:
    """What would keep a part from starting."""
    return [
        *_certificates(config),
        *_authorities(config),
        *_secrets(config),
        *_private(config),
        *_room(config),
    ]


def open_secrets(config: Config) -> Iterator[Path]:
    """Files with secrets of the configuration's that other users can read."""
    for path in _secret_files(config):
        try:
            if path.stat().st_mode & 0o077:
                yield path
        except OSError:
            continue


def _secret_files(config: Config) -> list[Path]:
    found = [part.tls_key for part in (config.api, config.voice, config.messaging)]
    found += [link.password_file for link in config.messaging.links]
    return [Path(name) for name in dict.fromkeys(found) if name]


def _certificates(config: Config) -> Iterator[Mistake]:
    parts = [("api", config.api.tls_cert, config.api.tls_key)]
    if config.voice.enabled and config.voice.tls_port:
        parts.append(("voice", config.voice.tls_cert, config.voice.tls_key))
    if config.messaging.enabled and any(one.part == "gateway" for one in needed_ports(config)):
        parts.append(("messaging", config.messaging.tls_cert, config.messaging.tls_key))
    for section, certificate, key in parts:
        if not (certificate and key):
            continue
        unreadable = [
            Mistake(str(config.file), f"{section}.{name}", says)
            for name, path in (("tls_cert", certificate), ("tls_key", key))
            if (says := unusable(Path(path)))
        ]
        yield from unreadable
        if not unreadable and (says := _pair(certificate, key)):
            yield Mistake(str(config.file), f"{section}.tls_cert and {section}.tls_key", says)


def _pair(certificate: str, key: str) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as exc:
        if exc.reason and "MISMATCH" in exc.reason:
            return "the key is not that of the certificate; give the two that belong together"
        return "they are not a certificate and a private key without a password, both in PEM"
    except (OSError, ValueError) as exc:
        return f"they cannot be read: {exc}"
    return ""


def _authorities(config: Config) -> Iterator[Mistake]:
    found = {"messaging.hook_ca": config.messaging.hook_ca} if config.messaging.enabled else {}
    if config.voice.enabled and config.voice.tls_port:
        found["voice.tls_ca"] = config.voice.tls_ca
    if config.messaging.enabled:
        found |= {f"tls_ca of link {one.name}": one.tls_ca for one in config.messaging.links if one.tls}
    for key, name in found.items():
        if not name:
            continue
        says = unusable(Path(name))
        if not says:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(name)
            except (OSError, ssl.SSLError):
                says = f"{name} holds no certificates in PEM"
        if says:
            yield Mistake(str(config.file), key, says)


def _secrets(config: Config) -> Iterator[Mistake]:
    if not config.messaging.enabled:
        return
    for link in config.messaging.links:
        if not link.password_file:
            continue
        path = Path(link.password_file)
        if says := unusable(path):
            yield Mistake(str(config.file), f"password_file of link {link.name}", says)
        elif path.stat().st_mode & 0o037:  # a group may be let in to read
            yield Mistake(str(path), "", "other users can read it", f"chmod 600 {path}")


def _private(config: Config) -> Iterator[Mistake]:
    """Secrets of the platform's own: they are refused when other users can read them."""
    try:
        if not config.restore_dir.exists():  # a restore that was cut off brings it at the start
            keyfile.check_there(config)
    except KeyFileError as exc:
        yield Mistake(str(config.key_file), "", exc.message.removeprefix(f"{config.key_file} "))
    for path in (config.key_file, config.home / "pgpass", config.home / "pgpass.platform"):
        if not path.exists():
            continue
        if says := unusable(path):
            yield Mistake(str(path), "", says)
        elif path.stat().st_mode & 0o077:
            yield Mistake(str(path), "", "other users can read it", f"chmod 600 {path}")
        elif path == config.key_file:
            try:
                keyfile.read(path)
            except KeyFileError as exc:
                yield Mistake(str(path), "", exc.message.removeprefix(f"{path} "))


def _room(config: Config) -> Iterator[Mistake]:
    folder = next(path for path in (config.home, *config.home.parents) if path.exists())
    new = not config.store.dsn and not (config.pg_dir / "PG_VERSION").exists()
    least, free = (NEW_DATA_BYTES >> 20) if new else _OLD_MB, shutil.disk_usage(folder).free // 2**20
    if free < least:
        says = f"{free} MB are free on the file system of {folder}, {least} MB are needed to start"
        yield Mistake(str(config.home), "", says, "make room, or give another home")
    if not os.access(folder, os.W_OK):
        yield Mistake(str(config.home), "", f"{folder} cannot be written by this user", "run as its owner")
    for path in (config.run_dir, config.log_dir, config.spool_dir, config.pg_dir):
        if path.exists() and not path.is_dir():
            yield Mistake(str(path), "", "it is a file where a folder belongs", "move it away")


def unusable(path: Path) -> str:
    """Why this file cannot be read; "" when it can."""
    try:
        if path.is_dir():
            return f"{path} is a folder; give a file"
        with path.open("rb"):
            return ""
    except FileNotFoundError:
        return f"{path} is not there"
    except OSError as exc:
        return f"{path} cannot be read: {exc.strerror}"
