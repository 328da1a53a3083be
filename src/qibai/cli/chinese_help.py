"""``--help`` in Chinese: the texts of a command are replaced before Typer prints them."""

import inspect
from collections.abc import Callable
from typing import Any, Final

from qibai.core.catalogue import chinese

_EXAMPLE: Final = "Example: "
#: Typer's own texts: names in ``typer.rich_utils``.
_TYPERS: Final = (
    *("ARGUMENTS_PANEL_TITLE", "OPTIONS_PANEL_TITLE", "COMMANDS_PANEL_TITLE"),
    *("DEFAULT_STRING", "ENVVAR_STRING", "REQUIRED_LONG_STRING"),
)


def translate(command: Any) -> None:
    """Make a command print its help in Chinese. Of a group, its commands as well."""
    command.help = _translated(command.help)
    command.get_usage = _hooked(command, command.get_usage)
    inner = vars(command).get("commands")
    for one in inner.values() if isinstance(inner, dict) else ():
        translate(one)


def paragraphs(text: str | None) -> list[tuple[str, str]]:
    """Each paragraph of a help text as one line, and its example; "" where there is none."""
    found = []
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        words, _, example = paragraph.partition(_EXAMPLE)
        found.append((" ".join(words.split()), example.strip()))
    return found


def _translated(text: str | None) -> str:
    said = []
    for words, example in paragraphs(text):
        shown = f"{chinese(_EXAMPLE)}{example}" if example else ""
        said.append("\n".join(filter(None, (chinese(words), shown))))
    return "\n\n".join(said)


def _hooked(command: Any, get_usage: Callable[[Any], str]) -> Callable[[Any], str]:
    """Typer asks for the usage line first when it prints help; then all else is translated."""

    def translated(ctx: Any) -> str:
        from typer import rich_utils  # noqa: PLC0415  # only help needs it

        for name in _TYPERS:
            setattr(rich_utils, name, chinese(getattr(rich_utils, name)))
        for one in command.get_params(ctx):
            if getattr(one, "help", None):
                one.help = chinese(one.help)
        return get_usage(ctx).replace("Usage: ", chinese("Usage: "), 1)

    return translated
