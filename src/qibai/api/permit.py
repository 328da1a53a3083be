"""Every handler under ``/v1`` names its action; the key's role has to be permitted it."""

from typing import Any

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute

from qibai.api.gate import asked
from qibai.core import roles
from qibai.core.roles import Action

OPTION = "action"


# a plain function would be run in a thread
async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Before anything else of a request is looked at. Raise Forbidden."""
    action = handler.opt.get(OPTION)
    if action is not None:
        roles.require(asked(connection.scope).principal.role, action)


def actions(app: Litestar) -> dict[tuple[str, str], Action]:
    """The action of each (method, path) under ``/v1``. Raise TypeError when a handler names none."""
    found = {}
    for route in app.routes:
        if not isinstance(route, HTTPRoute) or not route.path_format.startswith("/v1/"):
            continue
        for handler in route.route_handlers:
            for method in handler.http_methods - {"OPTIONS"}:
                action = handler.opt.get(OPTION)
                if not isinstance(action, Action):
                    raise TypeError(f"{method} {route.path_format} names no action")
                found[str(method), route.path_format] = action
    return found
