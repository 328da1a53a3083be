"""What a check found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome; ``mend`` says what to do where something is to be done."""

    name: str
    state: State
    says: str
    mend: str = ""


def ok(name: str, says: str) -> Finding:
    return Finding(name, State.OK, says)


def warn(name: str, says: str, mend: str) -> Finding:
    return Finding(name, State.WARN, says, mend)


def fail(name: str, says: str, mend: str) -> Finding:
    return Finding(name, State.FAIL, says, mend)


def skip(name: str, says: str) -> Finding:
    return Finding(name, State.SKIP, says)


def guarded(name: str, check: Callable[[], Finding | Sequence[Finding]]) -> list[Finding]:
    """What ``check`` finds. When it cannot read what it has to, this is a failure by the check's ``name``."""
    try:
        found = check()
    except OSError as exc:
        return [
            fail(name, f"cannot be checked: {exc}", "run `qibai doctor` as the platform's user or as root")
        ]
    return [found] if isinstance(found, Finding) else list(found)
