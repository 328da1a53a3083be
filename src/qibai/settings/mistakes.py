"""What is wrong with a configuration, all of it at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qibai.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong: where it was written, which key it is about, and what to do."""

    where: str  #: the file, or the variable
    key: str  #: as ``voice.udp_port``; "" when it is about the whole file
    says: str  #: what is wrong, without the value
    mend: str = ""  #: what to do, where ``says`` does not say it

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        mend = f"; {self.mend}" if self.mend else ""
        return f"{self.where}: {key}{self.says}{mend}"


class ConfigMistakes(ConfigError):
    """The configuration has mistakes; ``mistakes`` holds each."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        more = len(mistakes) - 1
        rest = f" (and {more} more: see `qibai config check`)" if more else ""
        super().__init__(f"{mistakes[0]}{rest}")
        self.mistakes = tuple(mistakes)


def refuse(mistakes: Iterable[Mistake]) -> None:
    """Raise ConfigMistakes if there is any."""
    found = list(mistakes)
    if found:
        raise ConfigMistakes(found)
