"""The keys of the key file: what is entered in the audit trail of their making and rotation."""

from qibai.core.roles import Action
from qibai.service.desk import Desk


async def note_prepared(desk: Desk, ids: dict[str, int]) -> None:
    """Note that the next keys were made; ``ids``: of each section."""
    await desk.enter(Action.KEYS_ROTATE, "keys", state="prepared", **ids)


async def begin_rotation(desk: Desk, kind: str, why: str) -> None:
    """Have a new rotation of the ``value``, ``hash`` or ``token`` key seconded. Takes two persons."""
    permit = await desk.second(Action.KEYS_ROTATE, {"key": kind}, why)
    await desk.enter(Action.KEYS_ROTATE, f"keys:{kind}", state="begun", **permit.details)


async def go_on(desk: Desk, kind: str) -> None:
    """Note that a rotation goes on that was interrupted; it was seconded when it began."""
    await desk.enter(Action.KEYS_ROTATE, f"keys:{kind}", state="resumed")


async def note_rotated(desk: Desk, kind: str, key_id: int) -> None:
    """Note that a rotation is done."""
    await desk.enter(Action.KEYS_ROTATE, f"keys:{kind}", state="done", id=key_id)
