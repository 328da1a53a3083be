"""A command's module is imported when the command is used: ``--help`` and ``--version`` need none."""

import gc
import sys
from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from qibai.cli.language import local, speaks_chinese


class Entry(NamedTuple):
    """One command or group of commands."""

    name: str
    panel: str  #: where ``qibai --help`` lists it
    place: str  #: ``module:attribute`` in ``qibai.cli``: a function, or a Typer application
    help: str  #: the first paragraph of its own help
    hidden: bool = False


class LazyGroup(TyperGroup):
    """A group whose commands come from ``entries``, which a subclass gives."""

    entries: tuple[Entry, ...] = ()

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: MutableMapping[str, Any] = _Loaded(self.entries)
        if speaks_chinese():
            from qibai.cli import chinese_help  # noqa: PLC0415  # few need it

            chinese_help.translate(self)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the table's order."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What lists of commands show of a command; ``resolve_command`` has the command itself."""
        for entry in self.entries:
            if entry.name == cmd_name:
                return TyperCommand(
                    entry.name,
                    help=local(entry.help),
                    hidden=entry.hidden,
                    rich_help_panel=local(entry.panel),
                )
        return None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that the arguments name. It is imported here."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, found if name is None else self.commands[name], rest


class _Loaded(MutableMapping[str, Any]):
    """The commands by name; each is imported when somebody asks for it."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self._entries: Final = {entry.name: entry for entry in entries}
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _load(self._entries[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _load(entry: Entry) -> Any:
    module, _, attribute = entry.place.partition(":")
    try:
        found = getattr(import_module(f"qibai.cli.{module}"), attribute)
    finally:
        gc.freeze()
        _log_to_stderr()
        gc.enable()  # `main` has switched it off: while modules are loaded, there is nothing to collect
    around = typer.Typer(add_completion=False, rich_markup_mode="rich")
    around.callback()(_nothing)
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=entry.name, rich_help_panel=entry.panel, hidden=entry.hidden)
    else:
        around.command(entry.name, rich_help_panel=entry.panel, hidden=entry.hidden)(found)
    group: Any = typer.main.get_command(around)
    command = group.commands[entry.name]
    if speaks_chinese():
        from qibai.cli import chinese_help  # noqa: PLC0415  # few need it

        chinese_help.translate(command)
    return command


def _log_to_stderr() -> None:
    """What a command logs is no part of its output. A command that loads no part that logs stays quick."""
    if "structlog" in sys.modules:
        from qibai import logs  # noqa: PLC0415  # when it is used

        logs.configure()


def _nothing() -> None:
    """A Typer application with a callback is a group, however few commands it has."""
