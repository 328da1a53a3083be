"""Loaded by schemathesis. niquests brings a ``urllib3`` whose pools cannot be counted its way."""

import os
from typing import Any

import schemathesis
from schemathesis.transport import requests

requests._count_opened_connections = lambda session: 0  # it counts only to tell reused connections

_SIGNING = "#/components/parameters/"  #: signing headers, which are the only shared parameters


@schemathesis.hook
def before_load_schema(_: Any, schema: dict[str, Any]) -> None:
    """Without signing headers where SCHEMATHESIS_UNSIGNED is set: a made-up signature only ever gets 401."""
    if "SCHEMATHESIS_UNSIGNED" not in os.environ:
        return
    for item in schema["paths"].values():
        for operation in item.values():
            kept = [one for one in operation["parameters"] if not one.get("$ref", "").startswith(_SIGNING)]
            operation["parameters"] = kept
