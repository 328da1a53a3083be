"""The two numbers that a receipt names: which of our parts it may be about."""

from qibai.core.errors import SealBroken
from qibai.core.numbering import Code
from qibai.messaging.rules import number_of, party_of
from qibai.store.keys import Keyring
from qibai.store.messages import MessageRow, open_party


def pair_of(keyring: Keyring, shown: str, receiver: str) -> bytes:
    """A keyed hash of a 700 number, 15 digits, and a receiver, E.164 with ``+``: alike on all nodes."""
    return keyring.lasting_mac(f"receipt {shown} {receiver}".encode())[:16]


def pair_named(keyring: Keyring, ends: tuple[str, str] | None) -> bytes | None:
    """The same of what a receipt names, in either order; None where it names no such two numbers."""
    for one, other in (ends, ends[::-1]) if ends else ():
        receiver, shown = party_of(one), number_of(other)
        if receiver is not None and shown is not None:
            return pair_of(keyring, str(shown), receiver.e164)
    return None


def pair_of_row(keyring: Keyring, row: MessageRow) -> bytes | None:
    """The same of a message that goes out; None where its receiver cannot be read. Raise KeyUnknown."""
    try:
        receiver = open_party(keyring, row.code, row.binding_id, row.id, row.receiver or b"")
    except SealBroken:
        return None
    shown = Code(row.code).number((row.shown if row.shown is not None else row.called) or 0)
    return pair_of(keyring, str(shown), receiver.e164)
