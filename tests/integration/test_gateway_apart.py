"""What one message says and PostgreSQL does not take: it stops no other message, and has an end."""

import asyncio
from pathlib import Path
from typing import Any

import psycopg
from store_rows import A, X

from gateway_tools import bound, config_for, peer, running, states, text_part, until
from qibai.core.messages import MessageState
from qibai.core.text import Concat, Part, decode
from qibai.core.text import Encoding as E
from qibai.store.keys import Keyring
from qibai.testing.messages import read_part

OTHERS = 20


async def test_a_row_that_cannot_be_stored_is_refused_and_those_beside_it_are_taken(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    bound(dsn, keyring)
    bad = Part(b"hi", E.GSM7, Concat(1 << 40, 2, 1, True))  # a reference that no column holds
    async with peer() as (carrier, port), running(config_for(tmp_path, dsn, {"one": port})) as gateway:
        await carrier.connected()
        asked = [carrier.send(f"r{i}", A.e164, str(X), text_part(f"m{i}")) for i in range(OTHERS)]
        asked.insert(OTHERS // 2, carrier.send("bad", A.e164, str(X), bad))
        asked.append(carrier.send("b\0d", A.e164, str(X), text_part("hi")))
        answers = await asyncio.gather(*asked)
        assert [answer.get("refused") for answer in answers if "id" not in answer] == [
            "message_malformed"
        ] * 2
        await until(lambda: len(carrier.submitted) == OTHERS)
        assert gateway.stats().store_up
    assert len(states(dsn)) == OTHERS


async def test_an_id_or_error_that_cannot_be_stored_ends_its_message_alone(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    bound(dsn, keyring)

    def answer(said: Any) -> Any:
        text = decode(read_part(said["part"]))
        return {"ref": "p\0"} if text == "id" else {"refused": "\0"} if text == "error" else {"ref": text}

    async with (
        peer(answer) as (carrier, port),
        running(config_for(tmp_path, dsn, {"one": port})) as gateway,
    ):
        await carrier.connected()
        texts = [*(f"m{i}" for i in range(OTHERS)), "id", "error"]
        sending = [
            carrier.send(f"r{i}", A.e164, str(X), text_part(text), wants_receipt=True)
            for i, text in enumerate(texts)
        ]
        answers = await asyncio.gather(*sending)
        ids = {text: said["id"] for text, said in zip(texts, answers, strict=True)}
        wanted = {ids["id"]: "unknown", ids["error"]: "rejected"}
        await until(lambda: {id: state for id, state in states(dsn).items() if state != "sent"} == wanted)
        assert await carrier.receipt("x\0", MessageState.DELIVERED) == {"known": False}
        for text in texts[:OTHERS]:
            assert await carrier.receipt(text, MessageState.DELIVERED) == {"known": True}
        await until(lambda: len(carrier.reports) == len(texts))
        await until(lambda: not gateway.stats().unstored)
        assert gateway.stats().losses["messages_unstorable"] == 2
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(*) FROM message WHERE due_at IS NOT NULL").fetchone() == (0,)
