"""Who gives this command? On the machine itself that is an operator, by what the machine says of them."""

import os
import pwd

import typer

from qibai.cli.options import State, config_of
from qibai.core.roles import Role
from qibai.store.audit import Actor
from qibai.store.tenants import person_name


def actor_of(ctx: typer.Context) -> Actor:
    """The name from `--as`, else who called sudo, else the system's user. Raise BadRequest for an odd name.

    The name may be claimed by `--as`; the system's user stands beside it in any case.
    """
    state = ctx.find_object(State)
    user = _user()
    name = (state.name if state is not None else None) or user
    return Actor(person_name(name), Role.OPERATOR, f"os:{user}@{config_of(ctx).node}")


def _user() -> str:
    uid = os.getuid()
    if uid == 0 and (caller := os.environ.get("SUDO_USER")):
        return caller
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
