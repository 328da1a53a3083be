"""The configuration's sample and reference, both made from the types in ``qibai.config``.

A key's description is its ``#:`` comment there, so that code, sample and page cannot differ.
"""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from qibai import config

_FIELD: Final = re.compile(r"    (\w+): [^#]*?(?:#: (.*))?$")


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the configuration."""

    section: str
    name: str
    kind: str
    default: Any
    about: str

    @property
    def variable(self) -> str:
        return f"QIBAI_{self.section}_{self.name}".upper()

    @property
    def toml(self) -> str:
        return f"{self.name} = {_toml(self.default)}"


SECTIONS: Final[dict[str, type[msgspec.Struct]]] = {
    field.name: field.type
    for field in msgspec.structs.fields(config.Config)
    if hasattr(field.type, "__struct_fields__")
}
PEER_SAMPLE: Final = """\
# A carrier's SIP element; one block for each. Without a peer no call can come or go.
# [[voice.peers]]
# name = "carrier-1"
# host = "192.0.2.10"
# port = 5060
# transport = "udp"           # udp, tcp or tls
# number_format = "e164"      # e164, national or tel
# priority = 10               # the highest that answers OPTIONS gets the calls; negative: never called
# sources = ["192.0.2.0/28"]  # more addresses that it may call from
# media_from = "described"    # described, or first: telephones behind NAT; their address is learnt
"""


LINK_SAMPLE: Final = """
# A carrier's message centre; one block for each. Password files have mode 600.
# [[messaging.links]]
# name = "carrier-1-sms"
# protocol = "cmpp"           # smpp or cmpp
# role = "client"             # client: we bind to host; server: the peer binds to us
# host = "192.0.2.20"
# port = 7890
# account = "901234"
# password_file = "/etc/qibai/carrier-1-sms.secret"
"""
#: Keys that are lists of tables: blocks of their own, in the file only.
TABLES: Final[dict[str, tuple[type[msgspec.Struct], str]]] = {
    "voice.peers": (config.Peer, "Peers"),
    "messaging.links": (config.MessageLink, "Links"),
}


def keys(section: str, struct: type[msgspec.Struct]) -> Iterator[Key]:
    """A section's keys in order."""
    comments = {}
    for line in inspect.getsource(struct).splitlines():
        if found := _FIELD.match(line):
            comments[found[1]] = found[2] or ""
    for field in msgspec.structs.fields(struct):
        default = field.default_factory() if callable(field.default_factory) else field.default
        yield Key(section, field.name, _kind(field.type), default, comments.get(field.name, ""))


def sample() -> str:
    """``qibai.toml`` with every key at its default, in comments."""
    lines = ["# Qibai's configuration. Every key stands here at its default; uncomment what you change.", ""]
    for section, struct in SECTIONS.items():
        lines.append(f"[{section}]")
        for key in keys(section, struct):
            if f"{section}.{key.name}" not in TABLES:
                lines.append(f"# {key.toml}" + (f"  # {key.about}" if key.about else ""))
        lines.append("")
    return "\n".join(lines) + "\n" + PEER_SAMPLE + LINK_SAMPLE


def reference() -> str:
    """The page ``docs/configuration.md``."""
    lines = [
        "# Configuration",
        "",
        "Made by `qibai config reference` from `src/qibai/config.py`; change it there.",
        "",
        "Sources, later ones win: the defaults below, `qibai.toml` in the home folder, environment.",
        "The home is `--home`, else `QIBAI_HOME`, else `.qibai`. `QIBAI_NODE` (or `node` at the top of the",
        "file) names this machine in call records; by default it is the host name. `qibai init` writes a",
        "file with every key.",
        "",
    ]
    for section, struct in SECTIONS.items():
        lines += [f"## [{section}]", "", *_rows(list(keys(section, struct))), ""]
    for name, (table, people) in TABLES.items():
        lines += [
            f"## [[{name}]]",
            "",
            *_clean(inspect.getdoc(table) or ""),
            f"{people} are given in the file only, one `[[{name}]]` block for each.",
            "",
            *_rows(list(keys(name, table)), variables=False),
            "",
        ]
    return "\n".join(lines)


def _rows(found: list[Key], *, variables: bool = True) -> list[str]:
    head = ["key", "type", "default", "meaning"] + (["variable"] if variables else [])
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for key in found:
        default = "required" if key.default is msgspec.NODEFAULT else f"`{_toml(key.default)}`"
        cells = [f"`{key.name}`", key.kind, default, key.about]
        if variables:
            cells.append("" if f"{key.section}.{key.name}" in TABLES else f"`{key.variable}`")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _clean(text: str) -> list[str]:
    return text.splitlines()


def _kind(kind: Any) -> str:
    if hasattr(kind, "__metadata__"):  # Annotated
        kind = kind.__origin__
    if values := getattr(kind, "__args__", None):
        if getattr(kind, "__origin__", None) is list:
            return "list"
        return ", ".join(str(value) for value in values)
    names = {"str": "text", "int": "whole number", "bool": "true, false"}
    return names.get(kind.__name__, "text")


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case _:
            return str(value)
