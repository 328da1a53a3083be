"""Which number next: at random, or, for sticky bindings, by a sequence that the parties alone determine."""

import hashlib
import random
from collections.abc import Iterable, Sequence
from typing import Final

from qibai.core.entropy import Entropy
from qibai.core.numbering import SERIALS_PER_CODE

SAME_CODE_DRAWS: Final = 3  #: draws in the first code before others are tried
BLIND_DRAWS: Final = 5  #: draws in all before free serials are searched

_RANDOM: Final = random.SystemRandom()


def random_serial(entropy: Entropy, but: int | None = None) -> int:
    """Any serial of a code other than ``but``."""
    if but is None:
        return entropy.below(SERIALS_PER_CODE)
    serial = entropy.below(SERIALS_PER_CODE - 1)
    return serial + (serial >= but)


def random_choice(codes: Sequence[int]) -> int:
    """Any of ``codes``."""
    return codes[0] if len(codes) == 1 else _RANDOM.choice(codes)


def shuffled(codes: Sequence[int]) -> list[int]:
    """``codes`` in random order."""
    return _RANDOM.sample(codes, len(codes))


class Sequence700:
    """The draws of a sticky binding. ``secret`` names the parties and cannot be computed without a hash key.

    Codes are ranked by rendezvous hashing: a code more or less moves only the bindings that it wins or loses.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def of(cls, tenant_id: int, party_keys: Iterable[bytes]) -> "Sequence700":
        """The sequence of these parties, whoever of them is A and whoever B."""
        digest = hashlib.sha256(tenant_id.to_bytes(8, "big"))
        for key in sorted(party_keys):
            digest.update(len(key).to_bytes(2, "big") + key)
        return cls(digest.digest())

    def _number(self, label: bytes, value: int) -> int:
        text = label + value.to_bytes(8, "big")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8, key=self._secret).digest(), "big")

    def first_code(self, codes: Sequence[int]) -> int:
        """The code that ranks first."""
        return max(codes, key=lambda code: self._number(b"code", code))

    def ranked(self, codes: Sequence[int]) -> list[int]:
        """``codes``, the first choice first."""
        return sorted(codes, key=lambda code: self._number(b"code", code), reverse=True)

    def serial(self, draw: int, *, y: bool = False, but: int | None = None) -> int:
        """The serial of the draw with that number (0, 1, …) for X or Y, other than ``but``."""
        size = SERIALS_PER_CODE - (but is not None)
        serial = self._number(b"y" if y else b"x", draw) % size
        return serial + (but is not None and serial >= but)

    def pick(self, serials: Sequence[int], *, y: bool = False) -> int:
        """The one among free ``serials`` that this sequence prefers."""
        return max(serials, key=lambda serial: self._number(b"py" if y else b"px", serial))
