"""This machine: what its parts use, what waits in its spool, and what is old."""

import time
from datetime import UTC, datetime

import msgspec

from qibai.config import Config
from qibai.store.anchors import path_of
from qibai.store.backup import last_backup
from qibai.store.loss_counts import read_losses
from qibai.store.spool_reader import OffsetFile, SpoolReader
from qibai.supervise.usage import PartUsage, usage


class NodeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """`spool_bytes`: events of calls that are not in the database; `losses`: of calls, since counting began.

    The audit trail is anchored when something is entered, so `anchor_at` is old where nobody did anything.
    """

    node: str
    parts: list[PartUsage]
    spool_bytes: int
    backup_at: datetime | None
    anchor_at: datetime | None
    losses: dict[str, int]


def read_node(config: Config) -> NodeFigures:
    """What can be seen of this home without asking anybody."""
    last = last_backup(config)
    offsets = OffsetFile(config.spool_dir / "recorder.offsets").load()
    try:
        anchor_at = datetime.fromtimestamp(path_of(config).stat().st_mtime, UTC)
    except OSError:
        anchor_at = None
    return NodeFigures(
        node=config.node,
        parts=usage(config),
        spool_bytes=SpoolReader(config.spool_dir, offsets).backlog(),
        backup_at=None if last is None else last.made_at,
        anchor_at=anchor_at,
        losses={name: count for name, (count, _) in read_losses(config.run_dir).items() if count},
    )


def age(at: datetime | None) -> str:
    """How long ago that was, in one unit."""
    if at is None:
        return "never"
    seconds = max(0, int(time.time() - at.timestamp()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
