"""The environment's variables that begin with QIBAI_: which there are."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

PREFIX: Final = "QIBAI_"
#: Those that are no keys of the configuration: options of the command line, and marks of our own processes.
OTHERS: Final = frozenset(
    {
        "QIBAI_HOME",
        "QIBAI_NODE",
        "QIBAI_AS",
        "QIBAI_JSON",
        "QIBAI_LANG",
        "QIBAI_API_URL",
        "QIBAI_API_KEY",
        "QIBAI_PART_OF",
        "QIBAI_MEDIA_PORTS",
        "QIBAI_TENANT",
        "QIBAI_TO",
        "QIBAI_PROVINCE",
        "QIBAI_LIMIT",
        "QIBAI_FROM",
        "QIBAI_ORDER",
        "QIBAI_MESSAGES",
        "QIBAI_MEMBER",
        "QIBAI_A",
        "QIBAI_B",
        "QIBAI_X",
        "QIBAI_WAIT",
        "QIBAI_VALID",
        "QIBAI_TTL",
        "QIBAI_STICKY",
        "QIBAI_STATE",
        "QIBAI_SCENE",
        "QIBAI_MODE",
        "QIBAI_MAX_CALL",
        "QIBAI_IDEMPOTENCY_KEY",
        "QIBAI_EXPIRES_AT",
        "QIBAI_BINDING",
    }
)

#: Keys that went elsewhere, and where to.
MOVED: Final = {
    "dual.two_person": (
        "it is kept in the database now",
        "`qibai dual rule 1` or `qibai dual rule 2` sets it",
    )
}


def variable_of(section: str, key: str) -> str:
    """The variable that sets ``section.key``."""
    return f"{PREFIX}{section}_{key}".upper()


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that ``name`` may stand for; "" when none is near."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.7)
    return found[0] if found else ""
