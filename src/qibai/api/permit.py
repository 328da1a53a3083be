"""Every handler names its action, which the key's role has to be permitted, or is open."""

from typing import Any

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute

from qibai.api.gate import ACTION, OPEN, asked
from qibai.core import roles
from qibai.core.errors import Unauthenticated
from qibai.core.roles import Action


# a plain function would be run in a thread
async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Before anything else of a request is looked at. Raise Forbidden, and Unauthenticated without a key."""
    action = handler.opt.get(ACTION)
    if "qibai" in connection.scope:
        if action is not None:
            roles.require(asked(connection.scope).principal.role, action)
    elif not handler.opt.get(OPEN):
        raise Unauthenticated


def actions(app: Litestar) -> dict[tuple[str, str], Action]:
    """The action of each (method, path). Raise TypeError when a handler neither names one nor is open."""
    found = {}
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            raise TypeError(f"{route.path_format} is no HTTP route")
        for handler in route.route_handlers:
            for method in handler.http_methods - {"OPTIONS"}:
                action = handler.opt.get(ACTION)
                if handler.opt.get(OPEN) and not route.path_format.startswith("/v1/"):
                    continue
                if not isinstance(action, Action):
                    raise TypeError(f"{method} {route.path_format} names no action")
                found[str(method), route.path_format] = action
    return found
