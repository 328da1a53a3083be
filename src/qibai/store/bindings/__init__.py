"""Bindings in PostgreSQL: made, read, changed, released. A tenant sees only its own."""

from qibai.store.bindings.bind import bind_many
from qibai.store.bindings.change import BindingEditor
from qibai.store.bindings.codeset import Entitlement, policy_refused
from qibai.store.bindings.model import (
    Binding,
    BindItem,
    Bound,
    Idempotency,
    NumberPair,
    Page,
    Released,
)
from qibai.store.bindings.query import (
    bindings_of_number,
    explain_number,
    get,
    get_many,
    list_bindings,
    read,
    settled,
)
from qibai.store.bindings.release import release, release_many
from qibai.store.bindings.session import database_time

__all__ = [
    "BindItem",
    "Binding",
    "BindingEditor",
    "Bound",
    "Entitlement",
    "Idempotency",
    "NumberPair",
    "Page",
    "Released",
    "bind_many",
    "bindings_of_number",
    "database_time",
    "explain_number",
    "get",
    "get_many",
    "list_bindings",
    "policy_refused",
    "read",
    "release",
    "release_many",
    "settled",
]
