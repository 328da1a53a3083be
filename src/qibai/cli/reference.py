"""The configuration's sample and reference, both made from the types in ``qibai.config``.

A key's description is its ``#:`` comment there, so that code, sample and page cannot differ.
"""

import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec

from qibai import config
from qibai.settings.wanted import limits

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
        default = f"`{_toml(key.default)}`"
        if key.default is None or key.default is msgspec.NODEFAULT:
            default = "unset" if key.default is None else "required"
        cells = [f"`{key.name}`", key.kind, default, key.about]
        if variables:
            cells.append("" if f"{key.section}.{key.name}" in TABLES else f"`{key.variable}`")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _clean(text: str) -> list[str]:
    return text.splitlines()


def _kind(kind: Any) -> str:
    """A key's type in words that a reader of the page knows, with its limits."""
    origin = get_origin(kind)
    if origin is Annotated:
        base, *marks = get_args(kind)
        said = [limits(mark) for mark in marks if isinstance(mark, msgspec.Meta)]
        return " ".join([_kind(base), *filter(None, said)])
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(one) for one in get_args(kind) if one is not types.NoneType)
    if origin is list:
        return "list"
    if origin is Literal:
        return ", ".join(str(value) or "empty" for value in get_args(kind))
    return {str: "text", int: "whole number", bool: "true, false", float: "number"}.get(kind, "text")


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case _:
            return str(value)
