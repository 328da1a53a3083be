"""How the gateway is doing: written to ``run_dir/gateway.json`` each second."""

from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog

from qibai.files import replace_file
from qibai.messaging.link import LinkStatus

FILE: Final = "gateway.json"

_log = structlog.get_logger("gateway")


class Stats(msgspec.Struct, frozen=True):
    """Counts are since the start."""

    at: float  #: Unix seconds; when this is old, the gateway does not run
    started_at: datetime
    store_up: bool
    accepted: int  #: messages, or parts of long ones, acknowledged to their senders
    refused: dict[str, int]  #: by reason
    attempts: int  #: to send a message
    retries: int  #: attempts that were not the first
    in_doubt: int  #: parts that went out and were not answered: their receivers may get them twice
    ended: dict[str, int]  #: messages by final state
    reports: int  #: ends that were reported to senders' peers
    reports_given_up: int
    accepting: int  #: just now
    queued: int  #: in memory, waiting to be sent
    held: int  #: in memory, waiting for anything
    parts_waiting: int  #: of long messages
    unstored: int  #: changes that PostgreSQL has yet to hear
    journal_bytes: int
    journal_damaged: int  #: lines that could not be read
    links: list[LinkStatus]
    losses: dict[str, int] = {}  #: by the names of core.losses


def write(run_dir: Path, stats: Stats) -> None:
    """Replace the file as a whole."""
    try:
        replace_file(run_dir / FILE, msgspec.json.encode(stats))
    except OSError as exc:
        _log.warning("statistics cannot be written", error=exc.strerror)
