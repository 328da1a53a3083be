"""Text messages in PostgreSQL: look-up of pairs, messages accepted and moved on, records.

For the HTTP API: ``find_pairs`` and ``decide`` say whether a party may write, ``enqueue`` makes it durable
and wakes the gateway, ``list_messages`` and ``get_message`` read records.
"""

from qibai.store.messages.accept import Known, accept
from qibai.store.messages.body import Body, open_body, seal_body, starred
from qibai.store.messages.enqueue import Enqueued, PlatformMessage, enqueue
from qibai.store.messages.model import (
    CHANNEL,
    HAS_NUMBER,
    WANTS_FAILURES,
    WANTS_RECEIPT,
    Kind,
    MessageRecord,
    MessageRow,
    SentPart,
    open_party,
    party_aad,
)
from qibai.store.messages.pairs import Pair, find_pairs
from qibai.store.messages.progress import (
    Change,
    adopt,
    disown,
    due,
    find_sent,
    load_rows,
    parts_of,
    update,
    waiting_parts,
)
from qibai.store.messages.query import get_message, list_messages, order_of

__all__ = [
    "CHANNEL",
    "HAS_NUMBER",
    "WANTS_FAILURES",
    "WANTS_RECEIPT",
    "Body",
    "Change",
    "Enqueued",
    "Kind",
    "Known",
    "MessageRecord",
    "MessageRow",
    "Pair",
    "PlatformMessage",
    "SentPart",
    "accept",
    "adopt",
    "disown",
    "due",
    "enqueue",
    "find_pairs",
    "find_sent",
    "get_message",
    "list_messages",
    "load_rows",
    "open_body",
    "open_party",
    "order_of",
    "parts_of",
    "party_aad",
    "seal_body",
    "starred",
    "update",
    "waiting_parts",
]
