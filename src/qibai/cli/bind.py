"""``qibai bind``."""

from datetime import datetime
from typing import Annotated, Any

import typer

from qibai.cli.options import ApiKey, ApiUrl, JsonOut, Reveal, asked, asked_each, config_of
from qibai.cli.output import as_json, done
from qibai.cli.remote import remote
from qibai.cli.show import print_binding
from qibai.cli.times import FORM, moment_of
from qibai.core.binding import Messages, Mode, Scene


def bind(  # noqa: PLR0917  # Typer calls it by name
    ctx: typer.Context,
    b: Annotated[str, typer.Option("--b", envvar="QIBAI_B", help="B's real number.", callback=asked)],
    order_id: Annotated[str, typer.Option("--order", envvar="QIBAI_ORDER", help="Your order.")],
    a: Annotated[
        str | None, typer.Option("--a", envvar="QIBAI_A", help="A's real number.", callback=asked)
    ] = None,
    member: Annotated[
        list[str] | None,
        typer.Option(
            envvar="QIBAI_MEMBER", help="A member of the group, once for each.", callback=asked_each
        ),
    ] = None,
    mode: Annotated[Mode, typer.Option(envvar="QIBAI_MODE", case_sensitive=False)] = Mode.AXB,
    scene: Annotated[Scene, typer.Option(envvar="QIBAI_SCENE")] = Scene.OTHER,
    ttl: Annotated[int | None, typer.Option(envvar="QIBAI_TTL", help="Lifetime in seconds.")] = None,
    expires_at: Annotated[
        datetime | None,
        typer.Option(
            envvar="QIBAI_EXPIRES_AT",
            parser=moment_of("expires_at"),
            metavar="TIME",
            help=f"Its end, {FORM}.",
        ),
    ] = None,
    max_call: Annotated[
        int | None, typer.Option(envvar="QIBAI_MAX_CALL", help="The longest call in seconds.")
    ] = None,
    province: Annotated[str | None, typer.Option(envvar="QIBAI_PROVINCE", help="Name or code.")] = None,
    x: Annotated[str | None, typer.Option("--x", envvar="QIBAI_X", help="The 700 number wanted.")] = None,
    messages: Annotated[
        Messages, typer.Option(envvar="QIBAI_MESSAGES", help="Who may write text messages.")
    ] = Messages.BOTH,
    sticky: Annotated[
        bool, typer.Option(envvar="QIBAI_STICKY", help="Give the same parties the same numbers again.")
    ] = False,
    reveal: Reveal = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: JsonOut = False,
) -> None:
    """Bind parties to 700 numbers.

    Other users of the machine see what is on a command line: give a real number as - to be asked for it,
    or to have it read from standard input, a line each, or set QIBAI_A and QIBAI_B.

    Example: qibai bind --mode AXYB --a - --b - --order order-1 --ttl 3600
    """
    body: dict[str, Any] = {"mode": mode.value, "b": b, "order_id": order_id, "scene": scene.value}
    body |= {"a": a} if a else {}
    body |= {"members": member} if member else {}
    body |= {"ttl": ttl} if ttl is not None else {}
    body |= {"expires_at": expires_at.isoformat()} if expires_at else {}
    body |= {"max_call_s": max_call} if max_call is not None else {}
    body |= {"messages": messages.value} if messages is not Messages.BOTH else {}
    body |= {"province": province} if province else {}
    body |= {"x": x} if x else {}
    body |= {"sticky": True} if sticky else {}
    with remote(config_of(ctx), api_url, api_key) as api:
        made = api.bind(body)
    if json:
        as_json(made, reveal=reveal)
        return
    done("bound")
    print_binding(made, reveal=reveal)
