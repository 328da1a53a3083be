"""Backups: what is entered in the audit trail of them."""

from qibai.core.roles import Action
from qibai.service.desk import Desk


async def note_made(desk: Desk, name: str, *, with_keys: bool) -> None:
    """Note that a backup of that name was made; ``with_keys``: and a copy of the key file."""
    await desk.enter(Action.BACKUP_MAKE, f"backup:{name}", keys=with_keys)
