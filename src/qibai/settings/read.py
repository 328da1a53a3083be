"""Reading the configuration from its file and the environment, noting every mistake on the way.

A key whose value is wrong counts as its default for what is looked at next: so one look finds all mistakes.
"""

import os
import re
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import msgspec

from qibai.config import Config
from qibai.core.errors import ConfigError
from qibai.settings.bounds import check_name
from qibai.settings.mistakes import Mistake
from qibai.settings.rules import contradictions
from qibai.settings.variables import MOVED, OTHERS, PREFIX, nearest, variable_of
from qibai.settings.wanted import wanted

_WORD: Final = re.compile(r"\w+")
SECTIONS: Final = {
    field.name: field.type
    for field in msgspec.structs.fields(Config)
    if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
}


@dataclass(frozen=True, slots=True)
class Survey:
    """What was read; ``config`` is to be used only if there is no mistake."""

    config: Config
    mistakes: list[Mistake]


def survey(home: Path | str | None = None, environ: Mapping[str, str] | None = None) -> Survey:
    """Read file and environment. Raise ConfigError when home or file cannot be read at all."""
    env = dict(os.environ) if environ is None else dict(environ)
    root = _home(str(home or env.get("QIBAI_HOME") or ".qibai"))
    return _Reading(root, env).survey()


def _home(text: str) -> Path:
    if "\0" in text:
        raise ConfigError("the home's name holds a NUL character; give another --home or QIBAI_HOME")
    root = Path(text).absolute()
    try:
        if root.exists() and not root.is_dir():
            raise ConfigError(f"the home {root} is a file; give a folder as --home or QIBAI_HOME")
    except OSError as exc:
        raise ConfigError(f"the home {root} cannot be reached: {exc.strerror}") from None
    return root


class _Reading:
    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self._env = env
        self._path = root / "qibai.toml"
        self._root = root
        self._mistakes: list[Mistake] = []

    def survey(self) -> Survey:
        data = _toml(self._path)
        self._unknown(data, {"node", *SECTIONS}, "")
        self._unknown_variables()
        sections = {name: self._section(name, kind, data.get(name, {})) for name, kind in SECTIONS.items()}
        node = self._env.get("QIBAI_NODE") or data.get("node") or socket.gethostname()
        try:
            check_name(node if isinstance(node, str) else "", "node")
        except ValueError as exc:
            self._note("node", str(exc).partition(": ")[2])
            node = socket.gethostname()
        config = Config(home=self._root, node=node, **sections)
        wrong = {mistake.key for mistake in self._mistakes}
        for keys, says in contradictions(config):
            if not wrong & set(keys):
                self._mistakes.append(Mistake(self._sources(keys), " and ".join(keys), says))
        return Survey(config, self._mistakes)

    def _section(self, section: str, kind: Any, table: Any) -> Any:
        if not isinstance(table, dict):
            self._note(f"[{section}]", "it must be a table")
            return kind()
        values: dict[str, Any] = {}
        fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
        self._unknown(table, fields, f"{section}.")
        for name, wants in fields.items():
            key = f"{section}.{name}"
            variable = variable_of(section, name)
            item = _table_of(wants)
            if item is not None:
                if name in table:
                    values[name] = self._tables(key, item, table[name])
            elif variable in self._env:
                text = self._env[variable]
                given: Any = _parts(text) if get_origin(wants) is list else text
                for value in self._convert(key, wants, given, f"variable {variable}"):
                    values[name] = value
            elif name in table:
                for value in self._convert(key, wants, table[name], str(self._path)):
                    values[name] = value
        try:
            return kind(**values)
        except ValueError as exc:
            head, _, says = str(exc).partition(": ")
            words = [word for word in _WORD.findall(head) if word != "and"]
            keys = [f"{section}.{word}" for word in words if word in fields]
            if len(keys) < len(words):  # it is about a peer, say
                self._mistakes.append(Mistake(self._sources(keys), section, str(exc)))
            else:
                self._mistakes.append(Mistake(self._sources(keys), " and ".join(keys), says))
            return kind()

    def _tables(self, key: str, kind: Any, given: Any) -> list[Any]:
        if not isinstance(given, list) or not all(isinstance(table, dict) for table in given):
            self._note(key, f"give {wanted(list[kind])}")
            return []
        made = []
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for number, table in enumerate(given, 1):
            name = table.get("name")
            label = f"[[{key}]] {name if isinstance(name, str) and name.isprintable() else number}"
            before = len(self._mistakes)
            self._unknown(table, fields, f"{label}: ")
            values: dict[str, Any] = {}
            for field in fields.values():
                if field.name in table:
                    where = f"{label}: {field.name}"
                    for value in self._convert(where, field.type, table[field.name], str(self._path)):
                        values[field.name] = value
                elif field.required:
                    self._note(f"{label}: {field.name}", "it is missing")
            if len(self._mistakes) > before:
                continue
            try:
                made.append(kind(**values))
            except ValueError as exc:
                self._note(label, str(exc))
        return made

    def _convert(self, key: str, kind: Any, given: Any, where: str) -> list[Any]:
        """The value in a list, or nothing and a mistake."""
        if _has_nul(given):
            self._mistakes.append(Mistake(where, key, "its value holds a NUL character"))
            return []
        if type(given) is date:  # TOML has dates of its own
            given = given.isoformat()
        try:
            return [msgspec.convert(given, kind, strict=False)]
        except msgspec.ValidationError:
            self._mistakes.append(Mistake(where, key, f"give {wanted(kind)}"))
            return []

    def _unknown(self, table: Mapping[str, Any], known: Any, prefix: str) -> None:
        for name in table:
            if f"{prefix}{name}" in MOVED:
                says, instead = MOVED[f"{prefix}{name}"]
                mend = f"take it out; {instead}"
                self._mistakes.append(Mistake(str(self._path), f"{prefix}{name}", says, mend))
            elif name not in known:
                near = nearest(name, known)
                mend = f"did you mean {prefix}{near}?" if near else "take it out"
                self._mistakes.append(
                    Mistake(str(self._path), f"{prefix}{name}", "there is no such key", mend)
                )

    def _unknown_variables(self) -> None:
        known = {
            variable_of(section, field.name): _table_of(field.type)
            for section, kind in SECTIONS.items()
            for field in msgspec.structs.fields(kind)
        }
        moved = {variable_of(*key.split(".")): told for key, told in MOVED.items()}
        for name in sorted(self._env):
            if not name.startswith(PREFIX) or name in OTHERS:
                continue
            if name in moved:
                says, instead = moved[name]
                self._mistakes.append(Mistake(f"variable {name}", "", says, f"unset it; {instead}"))
            elif name not in known:
                near = nearest(name, [*(one for one, table in known.items() if table is None), *OTHERS])
                mend = f"did you mean {near}?" if near else "unset it"
                self._mistakes.append(Mistake(f"variable {name}", "", "there is no such variable", mend))
            elif known[name] is not None:
                says = "this is given in the file only, a block for each"
                self._mistakes.append(Mistake(f"variable {name}", "", says, "unset it"))

    def _sources(self, keys: Any) -> str:
        """Where these keys were given: variables, the file, or both."""
        found = dict.fromkeys(
            f"variable {variable}"
            if (variable := variable_of(*key.split(".", 1))) in self._env
            else str(self._path)
            for key in keys
        )
        return ", ".join(found) or str(self._path)

    def _note(self, key: str, says: str) -> None:
        self._mistakes.append(Mistake(str(self._path), key, says))


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder; the configuration is a file") from None
    except UnicodeDecodeError as exc:
        line = exc.object[: exc.start].count(b"\n") + 1
        raise ConfigError(f"{path} is not UTF-8 (line {line}); save it as UTF-8") from None
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}") from None
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{path} is not a TOML file: {exc}") from None


def _table_of(kind: Any) -> Any:
    """The struct of a key that is a list of tables; else None."""
    inner = get_args(kind)[0] if get_origin(kind) is list else None
    return inner if isinstance(inner, type) and issubclass(inner, msgspec.Struct) else None


def _parts(text: str) -> list[str]:
    """A variable's list: its items stand between commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


def _has_nul(value: Any) -> bool:
    match value:
        case str():
            return "\0" in value
        case list():
            return any(map(_has_nul, value))
        case dict():
            return any(map(_has_nul, value.values()))
        case _:
            return False
