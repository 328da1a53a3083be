"""Who gives this command? On the machine itself that is an operator, by what the machine says of them."""

import typer

from qibai.cli.options import State, config_of
from qibai.store.actors import Actor, operator_here


def actor_of(ctx: typer.Context) -> Actor:
    """The name from `--as`, else who called sudo, else the system's user. Raise BadRequest."""
    state = ctx.find_object(State)
    return operator_here(config_of(ctx).node, state.name if state is not None else None)
