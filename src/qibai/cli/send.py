"""``qibai send``."""

import sys
import time
from typing import Annotated, Any, Final

import typer

from qibai.cli.options import ApiKey, ApiUrl, JsonOut, Reveal, asked, config_of
from qibai.cli.output import as_json, done, note
from qibai.cli.remote import Remote, remote

_POLL_S: Final = 0.5
_FINAL: Final = ("delivered", "expired", "rejected", "unknown")


def send(  # noqa: PLR0917  # Typer calls it by name
    ctx: typer.Context,
    binding: Annotated[str, typer.Argument(help="The binding's id.")],
    text: Annotated[str, typer.Argument(help="The text; - reads standard input.")],
    sender: Annotated[
        str,
        typer.Option("--from", envvar="QIBAI_FROM", help="The sending party's real number.", callback=asked),
    ],
    order_id: Annotated[str, typer.Option("--order", envvar="QIBAI_ORDER", help="The binding's order.")],
    valid: Annotated[
        int | None, typer.Option(envvar="QIBAI_VALID", help="Try to deliver for at most this many seconds.")
    ] = None,
    wait: Annotated[
        int, typer.Option(envvar="QIBAI_WAIT", min=0, help="Wait this many seconds for the result.")
    ] = 0,
    key: Annotated[
        str | None,
        typer.Option(
            "--idempotency-key",
            envvar="QIBAI_IDEMPOTENCY_KEY",
            help="Idempotency key: the same key sends only once.",
        ),
    ] = None,
    reveal: Reveal = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    json: JsonOut = False,
) -> None:
    """Send a text message on behalf of one party of a binding to the other, who sees the 700 number.

    Give the real number as - to be asked for it, or set QIBAI_FROM: others see what is on a command line.

    Example: qibai send b10000001-0abcdefghjkmn "At the door" --from - --order order-1
    """
    body: dict[str, Any] = {
        "binding_id": binding,
        "order_id": order_id,
        "sender": sender,
        "text": sys.stdin.read() if text == "-" else text,
    }
    if valid is not None:
        body["valid_s"] = valid
    with remote(config_of(ctx), api_url, api_key) as api:
        sent = api.send(body, key)
        if wait:
            sent = _outcome(api, sent, wait)
    if json:
        as_json(sent, reveal=reveal)
        return
    done(f"{sent['id']} {sent['state']}{': ' + sent['reason'] if sent['reason'] else ''}")
    if wait and sent["state"] not in _FINAL:
        note("not finished yet; `qibai messages` shows the result later")


def _outcome(api: Remote, sent: dict[str, Any], wait: int) -> dict[str, Any]:
    """The record once it is final, or after ``wait`` seconds."""
    deadline = time.monotonic() + wait
    while sent["state"] not in _FINAL and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        sent = api.message(sent["id"])
    return sent
