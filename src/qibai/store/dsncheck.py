"""Connection strings, looked at before anybody connects; what is said of one never shows it."""

from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from qibai.core.errors import ConfigError

_SHAPE: Final = "give a connection string as host=… dbname=… user=…, or postgresql://user@host/database"


def dsn_fault(text: str) -> str:
    """What is wrong with a connection string; "" when nothing is."""
    try:
        said = conninfo_to_dict(text)
    except psycopg.Error:
        return _SHAPE
    ports = [one for one in str(said.get("port") or "").split(",") if one]
    if not all(one.isascii() and one.isdecimal() and 1 <= int(one) <= 65_535 for one in ports):
        return "its port is not a whole number from 1 to 65535"
    hosts = str(said.get("hostaddr") or said.get("host") or "").split(",")
    if len(ports) not in (0, 1, len(hosts)):
        return f"it names {len(hosts)} hosts and {len(ports)} ports; give one port, or one for each host"
    return ""


def sound_dsn(text: str, key: str) -> str:
    """The string as it is. Raise ConfigError, which names ``key``."""
    if text and (fault := dsn_fault(text)):
        raise ConfigError(f"{key}: {fault}")
    return text
