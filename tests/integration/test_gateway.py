"""The gateway between two carriers: what goes through, what is refused, what comes back."""

from pathlib import Path
from typing import Any

import psycopg
from store_rows import A, B, C, X, add_route

from gateway_tools import bound, config_for, peer, running, sent, states, text_part, until
from qibai.core.messages import MessageState
from qibai.core.text import Concat, Part, decode, split
from qibai.core.text import Encoding as E
from qibai.store.keys import Keyring
from qibai.store.routes import FROM_GROUP, NO_MESSAGES, TO_GROUP
from qibai.testing.messages import read_part

PHONE = "13812345678"


def text_of(submitted: Any) -> str:
    return decode(read_part(submitted["part"]))


async def test_a_message_goes_through_hidden_and_its_receipt_comes_back(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    bound(dsn, keyring)
    async with peer() as (carrier, port), running(config_for(tmp_path, dsn, {"one": port})):
        await carrier.connected()
        answer = await sent(carrier, "到楼下了", wants_receipt=True)
        (out,) = await until(lambda: carrier.submitted)
        assert (out["source"], out["destination"], text_of(out)) == (str(X), B.e164, "到楼下了")
        assert await carrier.receipt(out["ref"], MessageState.DELIVERED) == {"known": True}
        (report,) = await until(lambda: carrier.reports)
        assert (report["ref"], report["state"]) == ("r1", "delivered")
        assert (report["source"], report["destination"]) == (str(X), A.e164)
        await until(lambda: states(dsn) == {answer["id"]: "delivered"})
    with psycopg.connect(dsn) as conn:
        row = conn.execute("SELECT body, content, due_at, parts, out_link FROM message").fetchone()
    assert row == (None, "*****"[:4], None, 1, "one")


async def test_b_can_answer(tmp_path: Path, dsn: str, keyring: Keyring) -> None:
    bound(dsn, keyring)
    async with peer() as (carrier, port), running(config_for(tmp_path, dsn, {"one": port})):
        await carrier.connected()
        await carrier.send("r1", B.e164, f"86{X}", text_part("ok"))
        (out,) = await until(lambda: carrier.submitted)
        assert (out["source"], out["destination"]) == (str(X), A.e164)


async def test_b_of_a_group_answers_whoever_wrote_last(tmp_path: Path, dsn: str, keyring: Keyring) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        id = add_route(conn, keyring, caller=A, callee=B, flags=FROM_GROUP)
        add_route(conn, keyring, caller=C, callee=B, binding_id=id, flags=FROM_GROUP)
        add_route(conn, keyring, caller=B, callee=A, binding_id=id, flags=TO_GROUP)
    async with peer() as (carrier, port), running(config_for(tmp_path, dsn, {"one": port})):
        await carrier.connected()
        for ref, sender in enumerate((B, C, B)):
            await carrier.send(f"r{ref}", sender.e164, str(X), text_part("hi"))
        await until(lambda: len(carrier.submitted) == 3)
    reached = [out["destination"] for out in carrier.submitted]
    assert sorted(reached) == sorted([A.e164, B.e164, C.e164])


async def test_refusals_say_why_and_leave_one_final_record(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    bound(dsn, keyring, flags=NO_MESSAGES)
    async with peer() as (carrier, port), running(config_for(tmp_path, dsn, {"one": port})):
        await carrier.connected()
        hi = text_part("hi")
        assert (await carrier.send("r1", A.e164, str(X), hi))["refused"] == "direction_forbidden"
        assert (await carrier.send("r2", C.e164, str(X), hi))["refused"] == "not_a_party"
        assert (await carrier.send("r3", A.e164, "700999999990000", hi))["refused"] == "not_bound"
        assert (await carrier.send("r4", A.e164, "12345", hi))["refused"] == "number_malformed"
        assert (await carrier.send("r5", "abc", str(X), hi))["refused"] == "caller_unknown"
        bad = Part(b"\xd8", E.UCS2)
        assert (await carrier.send("r6", B.e164, str(X), bad))["refused"] == "message_malformed"
        assert (await carrier.send("r2", C.e164, str(X), hi))["refused"] == "not_a_party"
        assert carrier.submitted == []
    assert list(states(dsn).values()) == ["rejected"] * 6


async def test_an_ended_order_is_told_and_a_refused_sender_gets_the_text_once(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    from datetime import timedelta

    bound(dsn, keyring, ends_in=timedelta(seconds=-1))
    async with peer() as (carrier, port):
        config = config_for(tmp_path, dsn, {"one": port}, refusal_text="The order has ended.")
        async with running(config):
            await carrier.connected()
            for ref in ("r1", "r2"):
                assert (await sent(carrier, "hi", ref))["refused"] == "order_ended"
            (out,) = await until(lambda: carrier.submitted)
            assert (out["source"], out["destination"]) == (str(X), A.e164)
            assert text_of(out) == "The order has ended."


async def test_the_same_again_is_the_same_message_also_for_the_next_gateway(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    bound(dsn, keyring)
    async with peer() as (carrier, port):
        config = config_for(tmp_path, dsn, {"one": port})
        async with running(config):
            await carrier.connected()
            first = await sent(carrier, "hi")
            assert await sent(carrier, "hi") == first
            await until(lambda: carrier.submitted)
        async with running(config):
            await carrier.connected()
            assert await sent(carrier, "hi") == first
        assert len(carrier.submitted) == 1


async def test_numbers_in_a_text_are_masked_and_the_record_says_so(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    bound(dsn, keyring)
    async with peer() as (carrier, port), running(config_for(tmp_path, dsn, {"one": port})):
        await carrier.connected()
        await sent(carrier, f"call {PHONE} please")
        (out,) = await until(lambda: carrier.submitted)
        assert text_of(out) == "call *********** please"
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT flags & 4 FROM message").fetchone() == (4,)


async def test_rates_of_a_pair_and_of_a_number(tmp_path: Path, dsn: str, keyring: Keyring) -> None:
    bound(dsn, keyring)
    async with peer() as (carrier, port):
        config = config_for(tmp_path, dsn, {"one": port}, pair_per_minute=3, number_per_minute=4)
        async with running(config):
            await carrier.connected()
            answers = [await sent(carrier, "hi", f"r{i}") for i in range(4)]
            assert [answer.get("refused") for answer in answers] == [None, None, None, "rate_limited"]
            other = [await carrier.send(f"s{i}", B.e164, str(X), text_part("hi")) for i in range(2)]
            assert [answer.get("refused") for answer in other] == [None, "rate_limited"]


async def test_a_long_message_is_joined_whatever_the_order_and_split_anew(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    bound(dsn, keyring)
    text = "订单已送达，请到门口取件。" * 20
    parts = split(text, E.UCS2, wide=True, ref=4_711)
    async with peer() as (carrier, port), running(config_for(tmp_path, dsn, {"one": port})):
        await carrier.connected()
        order = [*parts[1:], parts[1], parts[0]]
        answers = [
            await carrier.send(f"r{i}", A.e164, str(X), part, wants_receipt=True)
            for i, part in enumerate(order)
        ]
        twice = answers[len(parts) - 1]["id"]  # a part whose place is taken: it may be of another text
        assert twice not in (answer["id"] for answer in answers[: len(parts) - 1])
        out = await until(lambda: len(carrier.submitted) == len(parts) and carrier.submitted)
        places = [read_part(one["part"]).concat for one in out]
        assert [(p.total, p.seq, p.wide) for p in places if p] == [
            (len(parts), seq, False) for seq in range(1, len(parts) + 1)
        ]
        assert "".join(text_of(one) for one in out) == text
        for one in reversed(out):
            await carrier.receipt(one["ref"], MessageState.DELIVERED)
        await until(lambda: len(carrier.reports) == len(parts))
        assert {report["state"] for report in carrier.reports} == {"delivered"}
        refs = {f"r{i}" for i in range(len(order))} - {f"r{len(parts) - 1}"}
        assert {report["ref"] for report in carrier.reports} == refs
        await until(lambda: sorted(states(dsn).values()) == ["delivered"] * len(parts) + ["queued"])
    assert states(dsn)[twice] == "queued"


async def test_parts_without_the_rest_end_rejected(tmp_path: Path, dsn: str, keyring: Keyring) -> None:
    bound(dsn, keyring)
    part = Part(b"hi", E.GSM7, Concat(1, 2, 1))
    async with (
        peer() as (carrier, port),
        running(config_for(tmp_path, dsn, {"one": port}, parts_wait_s=1)),
    ):
        await carrier.connected()
        await carrier.send("r1", A.e164, str(X), part, wants_failures=True)
        (report,) = await until(lambda: carrier.reports)
        assert (report["ref"], report["state"]) == ("r1", "rejected")
    with psycopg.connect(dsn) as conn:
        rows = conn.execute("SELECT state, reason FROM message").fetchall()
    assert rows == [("rejected", "parts_missing")]


async def test_parts_pass_as_they_are_where_no_rule_reads_them(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    bound(dsn, keyring)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("INSERT INTO tenant (name) VALUES ('t')")
        conn.execute(
            "INSERT INTO message_policy VALUES (1, 'pass', 'forward', NULL, 2000, 'block', '', now())"
        )
    part = Part(b"hi", E.GSM7, Concat(300, 2, 2, True))
    async with peer() as (carrier, port), running(config_for(tmp_path, dsn, {"one": port}, join=False)):
        await carrier.connected()
        await carrier.send("r1", A.e164, str(X), part)
        (out,) = await until(lambda: carrier.submitted)
        assert read_part(out["part"]) == part


async def test_what_a_peer_refuses_for_good_is_rejected_with_its_error(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    bound(dsn, keyring)
    async with (
        peer(lambda said: {"refused": "0x0b"}) as (carrier, port),
        running(config_for(tmp_path, dsn, {"one": port})),
    ):
        await carrier.connected()
        await sent(carrier, "hi", wants_failures=True)
        (report,) = await until(lambda: carrier.reports)
        assert (report["state"], report["error"]) == ("rejected", "0x0b")
        await until(lambda: list(states(dsn).values()) == ["rejected"])


async def test_a_message_is_tried_again_within_its_validity_then_expires(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    bound(dsn, keyring)
    async with (
        peer(lambda said: {"later": 0.1}) as (carrier, port),
        running(config_for(tmp_path, dsn, {"one": port}, validity_s=3)) as gateway,
    ):
        await carrier.connected()
        await sent(carrier, "hi", wants_receipt=True)
        (report,) = await until(lambda: carrier.reports)
        assert report["state"] == "expired"
        assert len(carrier.submitted) >= 2
        assert gateway.stats().retries >= 1
        await until(lambda: list(states(dsn).values()) == ["expired"])


async def test_another_link_takes_over_and_prefixes_choose(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    bound(dsn, keyring)
    async with peer() as (first, one), peer() as (second, two):
        config = config_for(tmp_path, dsn, {"one": one, "two": two})
        async with running(config) as gateway:
            await first.connected()
            await second.connected()
            await first.stop()
            await until(lambda: [link.state for link in gateway.stats().links] == ["connecting", "up"])
            await sent(second, "hi")
            await until(lambda: second.submitted)


async def test_a_message_without_a_receipt_ends_unknown(tmp_path: Path, dsn: str, keyring: Keyring) -> None:
    bound(dsn, keyring)
    async with peer() as (carrier, port):
        config = config_for(tmp_path, dsn, {"one": port}, validity_s=1, receipt_wait_s=0)
        async with running(config):
            await carrier.connected()
            await sent(carrier, "hi")
            await until(lambda: list(states(dsn).values()) == ["unknown"])


async def test_a_receipt_that_overtakes_the_answer_is_not_lost(
    tmp_path: Path, dsn: str, keyring: Keyring
) -> None:
    import asyncio

    bound(dsn, keyring)
    early: list[asyncio.Task[Any]] = []

    def answer(said: Any) -> Any:
        early.append(asyncio.create_task(carrier.receipt("z1", MessageState.DELIVERED)))
        return {"ref": "z1"}

    async with peer(answer) as (carrier, port), running(config_for(tmp_path, dsn, {"one": port})):
        await carrier.connected()
        await sent(carrier, "hi")
        await until(lambda: early)
        assert await early[0] == {"known": True}
        assert await carrier.receipt("nothing", MessageState.DELIVERED) == {"known": False}
