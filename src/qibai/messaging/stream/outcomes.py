"""The words in which networks say what became of a message, wherever a receipt carries them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qibai.core.messages import MessageState

#: ``stat`` in a receipt's text. None: the message is on its way. Peers write these words in many lengths.
_WORDS: Final[Mapping[str, MessageState | None]] = {
    **dict.fromkeys(
        ("DELIVRD", "DELIVERED", "DELIVERD", "DELIVERY", "DELIVER", "DELIVRED", "SUCCESS", "OK", "READ"),
        MessageState.DELIVERED,
    ),
    **dict.fromkeys(("EXPIRED", "EXPIRE", "TIMEOUT", "VALIDITY"), MessageState.EXPIRED),
    **dict.fromkeys(
        (
            *("UNDELIV", "UNDELIVERED", "UNDELIVERABLE", "UNDELIVRD", "UNDLVRD", "NOTDELIVERED"),
            *("DELETED", "DELETE", "REJECTD", "REJECTED", "REJECT", "REJCTED", "FAILED", "FAIL", "FAILURE"),
            *("CANCELED", "CANCELLED", "BLOCKED", "BLACKLIST", "BLACK", "INVALID", "ERROR", "SKIPPED"),
            *("NOROUTE", "NOCREDIT", "MBBLACK", "LIMITED", "ABORTED"),
        ),
        MessageState.REJECTED,
    ),
    **dict.fromkeys(("UNKNOWN", "UNKNOW", "UNKN", "UNKNOWNSTATUS"), MessageState.UNKNOWN),
    **dict.fromkeys(
        (
            *(
                "ENROUTE",
                "ACCEPTD",
                "ACCEPTED",
                "ACCEPT",
                "SCHEDULED",
                "BUFFERED",
                "BUFFRED",
                "ACKED",
            ),
            *("SENT", "QUEUED", "SUBMITD", "SUBMITTED", "PENDING", "RETRY", "FORWARDED"),
        )
    ),
}
#: ``message_state`` (SMPP 3.4 §5.2.28; 0 and 9 are of SMPP 5.0). None: not final.
_NUMBERS: Final[Mapping[int, MessageState | None]] = {
    0: None,
    1: None,
    2: MessageState.DELIVERED,
    3: MessageState.EXPIRED,
    4: MessageState.REJECTED,  # deleted
    5: MessageState.REJECTED,  # undeliverable
    6: None,  # accepted: by whom differs from centre to centre
    7: MessageState.UNKNOWN,
    8: MessageState.REJECTED,
    9: MessageState.REJECTED,  # skipped
}
_CODE: Final = re.compile(r"[A-Z]{1,4}[:_.-]?[0-9A-F]{2,5}|[A-Z]{2}:[0-9A-Z]{1,5}|[0-9]{2,7}|-[0-9]{1,5}")
_SHORTEST: Final = 5  #: letters of a word that was cut off
_DIGITS: Final = 6  #: that a network's own code has at most
_ERROR: Final = 16  #: characters of an error that are kept


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a receipt says. ``state`` None: the message is on its way."""

    state: MessageState | None
    error: str = ""  #: the network's code, digits and letters


def outcome_of(word: str, *, cut: bool = False) -> Outcome | None:
    """What a word means, None if nobody knows it; ``cut``: its end may be missing.

    Codes of networks (``MA:0001``, ``CB:0023``, ``069``) are failures; zeros alone mean success.
    """
    plain = word.strip(" \t\r\n\0").upper()
    if plain in _WORDS:
        return Outcome(_WORDS[plain])
    if plain.startswith("ESME_R") and plain[6:].isalpha():  # the next centre's answer to the submit
        return Outcome(None) if plain == "ESME_ROK" else Outcome(MessageState.REJECTED, error_of(plain))
    if plain.isascii() and plain.isdigit():
        if not plain.strip("0"):
            return Outcome(MessageState.DELIVERED)
        if len(plain) == 1:
            return Outcome(_NUMBERS[int(plain)])
    if _CODE.fullmatch(plain):
        return Outcome(MessageState.REJECTED, error_of(plain))
    if cut and len(plain) >= _SHORTEST:
        meant = {state for known, state in _WORDS.items() if known.startswith(plain)}
        if len(meant) == 1:
            return Outcome(meant.pop())
    return None


def outcome_of_number(number: int) -> Outcome | None:
    """What a ``message_state`` means, None if the number is not in the standard."""
    return Outcome(_NUMBERS[number]) if number in _NUMBERS else None


def error_of(text: str) -> str:
    """An error as it is kept: digits and letters alone, at most 16; empty for zeros.

    Empty for more digits than a network's code has: they would be somebody's number, for the other side.
    """
    plain = "".join(char for char in text if char.isascii() and char.isalnum())
    if sum(map(str.isdigit, plain)) > _DIGITS:
        return ""
    return plain[:_ERROR] if plain.strip("0") else ""
