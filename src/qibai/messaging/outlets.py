"""The links by which messages leave, and which of them is to take one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from qibai.core.text import Encoding, Part, encode, fitting, room, split
from qibai.messaging.link import Link
from qibai.store.messages import Body, MessageRow

WHOLE: Final = "payload"  #: a link that takes whole texts


@dataclass(frozen=True, slots=True)
class Outlet:
    """A link and what the configuration says of it."""

    link: Link
    priority: int = 10  #: the highest that is up gets messages first; negative: it only receives
    prefixes: tuple[str, ...] = ()  #: of receivers' national numbers; empty: all
    long: str = WHOLE  #: udh8, udh16, sar, payload: how long messages leave

    def reaches(self, national: str) -> bool:
        return self.priority >= 0 and (not self.prefixes or national.startswith(self.prefixes))


class Outlets:
    """All of a gateway's, the first choice first."""

    def __init__(self, outlets: Iterable[Outlet]) -> None:
        self._turn = 0
        self.put(outlets)

    def put(self, outlets: Iterable[Outlet]) -> None:
        """These instead of those that were there."""
        self._outlets = sorted(outlets, key=lambda outlet: -outlet.priority)
        self._by_name = {outlet.link.name: outlet for outlet in self._outlets}

    def __iter__(self) -> Iterator[Outlet]:
        return iter(self._outlets)

    def named(self, name: str) -> Outlet | None:
        return self._by_name.get(name)

    def choose(self, national: str, *, but: frozenset[str] = frozenset()) -> Outlet | None:
        """The link for a receiver, but none of ``but``; among equals they take turns. None: none is up."""
        best: list[Outlet] = []
        for outlet in self._outlets:
            if best and outlet.priority < best[0].priority:
                break
            if outlet.link.name not in but and outlet.reaches(national) and outlet.link.can_send:
                best.append(outlet)
        if not best:
            return None
        self._turn += 1
        return best[self._turn % len(best)]


def parts_of(body: Body, long: str, ref: int) -> list[Part]:
    """A message as it leaves by a link of kind ``long``; the same every time. Raise BadText.

    ``ref``: the parts of a long text refer to it, cut to the bits that ``long`` has.
    """
    if isinstance(body, Part):
        if body.concat is not None or len(body.data) <= room(body.encoding) or long == WHOLE:
            return [body]
        return _split(body.data, body.encoding, long, ref)
    encoding = fitting(body)
    if long == WHOLE:
        return [Part(encode(body, encoding), encoding)]
    return _split(body, encoding, long, ref)


def reference(row: MessageRow) -> int:
    """What the parts of a long text refer to, at every try."""
    if row.out_ref is None:  # a row of an earlier version, whose first parts may have left
        return crc32(row.id.to_bytes(8, "big"))
    return row.out_ref


def _split(body: str | bytes, encoding: Encoding, long: str, ref: int) -> list[Part]:
    return split(body, encoding, wide=long != "udh8", header=long != "sar", ref=ref)
