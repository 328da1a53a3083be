"""``python -m qibai.testing``: a peer in a terminal. It prints each thing that it gets as a line of JSON."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from qibai.testing.cmpp import ismg, text_of
from qibai.testing.sip_phone import PhoneCall, SipPhone
from qibai.testing.smpp import MessageCentre
from qibai.testing.webhook import WebhookReceiver

app = typer.Typer(add_completion=False, no_args_is_help=True)
Host = Annotated[str, typer.Option(help="The address to listen at.")]
Port = Annotated[int, typer.Option(help="The port to listen at.")]
Stat = Annotated[str, typer.Option(help="What receipts say; empty: none are sent.")]
_Item = TypeVar("_Item")


@app.command()
def smpp(host: Host = "127.0.0.1", port: Port = 2775, stat: Stat = "DELIVRD") -> None:
    """A message centre that speaks SMPP 3.4 and takes every account."""

    async def serve() -> None:
        async with MessageCentre(host, port, stat=stat) as centre:
            await _follow(
                f"{host}:{port}",
                centre.messages,
                lambda message: {"from": message.source, "to": message.destination, "text": message.text},
            )

    _run(serve)


@app.command()
def cmpp(
    host: Host = "127.0.0.1",
    port: Port = 7890,
    secret: Annotated[str, typer.Option(help="What the platform proves its account with.")] = "secret",  # noqa: S107
    stat: Stat = "DELIVRD",
) -> None:
    """A carrier's gateway (ISMG) that speaks CMPP 2.0 and 3.0."""

    async def serve() -> None:
        async with ismg(host=host, port=port, secret=secret, stat=stat) as gateway:
            await _follow(f"{host}:{port}", gateway.submits, _submit)

    _run(serve)


@app.command()
def webhook(
    host: Host = "127.0.0.1",
    port: Port = 8080,
    action: Annotated[str, typer.Option(help="What it answers: forward or block.")] = "forward",
) -> None:
    """A tenant's service that is asked about texts."""

    async def serve() -> None:
        async with WebhookReceiver(host, port, {"action": action}) as receiver:
            await _follow(receiver.url, receiver.requests, lambda request: json.loads(request[1]))

    _run(serve)


@app.command()
def phone(  # noqa: PLR0917  # options
    port: Port,
    host: Host = "127.0.0.1",
    platform: Annotated[
        str, typer.Option(help="Where the platform takes SIP: host:port.")
    ] = "127.0.0.1:5060",
    number: Annotated[str, typer.Option(help="The number of this telephone, if it is to call.")] = "",
    call: Annotated[str, typer.Option(help="Call this number; without it, wait for calls.")] = "",
    answer: Annotated[int, typer.Option(help="What calls are answered with.")] = 200,
) -> None:
    """A telephone that speaks SIP over UDP, and sends no media."""
    name, _, at = platform.rpartition(":")

    async def serve() -> None:
        with SipPhone((host, port), (name, int(at)), answer=answer) as telephone:
            if not call:
                listening = _follow(f"{host}:{port}", telephone.got_calls, _got)
                await asyncio.gather(listening, _tell_probed(telephone))
            placed = telephone.call(number, call)
            while not placed.status:  # noqa: ASYNC110  # the telephone has a thread of its own
                await asyncio.sleep(0.05)
            _show({"called": placed.called, "status": placed.status})
            while placed.talks:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    _run(serve)


def _submit(fields: dict[str, Any]) -> dict[str, Any]:
    return {"from": fields["Src_Id"], "to": fields["Dest_terminal_Id"], "text": text_of(fields)}


def _got(call: PhoneCall) -> dict[str, Any]:
    return {"from": call.caller, "called": call.called}


async def _tell_probed(telephone: SipPhone) -> None:
    while not telephone.is_probed:  # noqa: ASYNC110  # the telephone has a thread of its own
        await asyncio.sleep(0.05)
    await asyncio.to_thread(telephone.wait_probed)
    _show({"probed": f"{telephone.at[0]}:{telephone.at[1]}"})


async def _follow(at: str, items: Sequence[_Item], show: Callable[[_Item], dict[str, Any]]) -> None:
    _show({"listening": at})
    shown = 0
    while True:
        for item in items[shown:]:
            _show(show(item))
            shown += 1
        await asyncio.sleep(0.05)


def _show(fact: dict[str, Any]) -> None:
    typer.echo(json.dumps(fact, ensure_ascii=False))


def _run(serve: Callable[[], Any]) -> None:
    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        raise typer.Exit from None


if __name__ == "__main__":
    app()
