"""Text messages in PostgreSQL: look-up of pairs, messages accepted and moved on, records.

For the HTTP API: ``find_pairs`` and ``decide`` say whether a party may write, ``enqueue`` makes it durable
and wakes the gateway, ``list_messages`` and ``get_message`` read records.
"""

from qibai.store.messages.accept import Known, accept
from qibai.store.messages.body import Body, open_body, seal_body, starred
from qibai.store.messages.enqueue import Enqueued, PlatformMessage, enqueue
from qibai.store.messages.kept import (
    KeptReceipt,
    forget_receipts,
    keep_receipt,
    kept_receipts,
    old_receipts,
)
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
from qibai.store.messages.nodes import (
    SilentNode,
    beat,
    begin_node,
    nodes_without_key,
    silent_nodes,
    take_over,
)
from qibai.store.messages.pairs import find_pairs
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
from qibai.store.messages.waiting import count_waiting, end_waiting, join_parts, places

__all__ = [
    "CHANNEL",
    "HAS_NUMBER",
    "WANTS_FAILURES",
    "WANTS_RECEIPT",
    "Body",
    "Change",
    "Enqueued",
    "KeptReceipt",
    "Kind",
    "Known",
    "MessageRecord",
    "MessageRow",
    "PlatformMessage",
    "SentPart",
    "SilentNode",
    "accept",
    "adopt",
    "beat",
    "begin_node",
    "count_waiting",
    "disown",
    "due",
    "end_waiting",
    "enqueue",
    "find_pairs",
    "find_sent",
    "forget_receipts",
    "get_message",
    "join_parts",
    "keep_receipt",
    "kept_receipts",
    "list_messages",
    "load_rows",
    "nodes_without_key",
    "old_receipts",
    "open_body",
    "open_party",
    "order_of",
    "parts_of",
    "party_aad",
    "places",
    "seal_body",
    "silent_nodes",
    "starred",
    "take_over",
    "update",
    "waiting_parts",
]
