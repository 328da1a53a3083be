"""Kamailio's log without what messages say.

When its core cannot read a message it logs pieces of it, line breaks and all: numbers, names, addresses.
"""

import os
import re
import signal
import sys
from collections.abc import Callable
from typing import Final

from qibai.config import Config
from qibai.core.masking import mask_numbers
from qibai.store.loss_counts import LossCounts

#: `` 2(652) ERROR: <core> [core/parser/msg_parser.c:407]: parse_headers(): duplicate From … [From: …``
_HEAD: Final = re.compile(
    r"( *[0-9]+\([0-9]+\) [A-Z]+: (?:\{[^}]*\} )?(?:<core> |(\w+) )?(?:\[[\w./-]+:[0-9]+\]: )?(?:\w+\(\): )?)"
)
_CONTENT: Final = re.compile(r"[\[<\"'{|]|sips?:|tel:", re.IGNORECASE)
_DIGITS: Final = re.compile(r"(?<![0-9bc])[0-9]{6,}")  #: no id of a call or binding, which begin with c and b


#: What Kamailio's core says of a message that it drops before our script sees it.
_UNANSWERABLE: Final = (
    "required headers not found in request",
    "no via found in request",
    "required headers not found in reply",
    "no via found in reply",
    "core parsing of SIP message failed",
)


class LogFilter:
    """Call with each line in turn; gives what may be shown of it, or None."""

    def __init__(self, count: Callable[[str], object] = lambda loss: None) -> None:
        """``count`` is called with the name of each loss that a line tells of."""
        self._count = count
        self._drop = False  #: whether lines without a head go on with what a message says

    def __call__(self, line: str) -> str | None:
        found = _HEAD.match(line)
        if found is None:
            return None if self._drop else _masked(line)
        body = line[found.end() :]
        if body.startswith(_UNANSWERABLE):
            self._count("requests_unanswerable")
        # Our own script says types and codes alone, and a traceback of it has to be seen.
        ours = found[2] == "app_python3"
        self._drop = not ours
        return found[1] + _masked(body if ours else _CONTENT.split(body, maxsplit=1)[0].rstrip())


def kamailio_filter(config: Config) -> LogFilter:
    """The filter for a running Kamailio; what its core loses is counted with what our script loses."""
    return LogFilter(LossCounts(config.run_dir, "kamailio-log").add)


def _masked(text: str) -> str:
    return _DIGITS.sub("…", mask_numbers(text))


def filter_stderr(shown: Callable[[str], str | None] | None = None) -> None:
    """Let whatever this process says from now on, also as another program, pass through ``shown``.

    Without ``shown`` it is a LogFilter.

    Another process does it, until the last process that can write is gone. It is no child of this process:
    Kamailio, which this process becomes, ends only after all its children have ended.
    """
    reading, writing = os.pipe()
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        os.close(reading)
        os.dup2(writing, sys.stderr.fileno())
        os.dup2(writing, sys.stdout.fileno())
        os.close(writing)
        return
    if os.fork():
        os._exit(0)
    os.close(writing)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    shown = shown or LogFilter()
    with os.fdopen(reading, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            kept = shown(line.rstrip("\n"))
            if kept is not None:
                print(kept, file=sys.stderr, flush=True)
    os._exit(0)
