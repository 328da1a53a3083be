"""Which hash keys routes are found under; the phases are described in the schema, at ``hash_rotation``."""


def keys_in_use(phase: int, current: int, following: int) -> list[int]:
    """The ids of the keys under which rows may stand in ``caller_key``: one, or two while rows move."""
    if phase <= 1:
        return [current]
    return [current, following] if phase == 2 else [following]
