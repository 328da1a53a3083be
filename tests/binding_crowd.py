"""Many clients at several nodes do everything that can be done to bindings, all at once.

Few people and few numbers, so that their requests meet; each answer is kept in the history of its binding.
"""

import random
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from linear import Done, Seen, Step, became, extended, read, refused_as_over, released
from node_tools import Answer, Line, Node
from qibai.core.numbering import Code

CODE: Final = Code(12_345_678)
PEOPLE: Final = [f"+86138000000{n:02d}" for n in range(12)]
NUMBERS: Final = [str(CODE.number(n)) for n in range(8)]
MODES: Final = ("AXB", "AXYB", "GXB", "GXYB")
_AT_HAND: Final = 10  #: bindings that requests are about; the latest
#: Answers that change nothing: somebody else was first, or it makes no sense just now.
_NO: Final = {
    "number_taken",
    "pool_exhausted",
    "party_repeated",
    "request_invalid",
    "group_size",
    "mode_mismatch",
}


def now() -> datetime:
    return datetime.now(UTC)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def seen(body: Any) -> Seen:
    released_at = body.get("released_at")
    return Seen(
        a=body.get("a"),
        b=body["b"],
        members=tuple(body.get("members") or ()),
        expires_at=instant(body["expires_at"]),
        released_at=None if released_at is None else instant(released_at),
    )


class Book:
    """All that was answered. ``made``: the bindings as they were made, or as they stood after a round."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.made: dict[str, Seen] = {}
        self.about: dict[str, Any] = {}  #: the answer that made it
        self.history: dict[str, list[Done]] = {}
        self.recent: list[str] = []
        self.keys: dict[str, str] = {}  #: idempotency key → binding
        self.faults: list[str] = []
        self.answers: dict[str, int] = {}  #: how often each kind of answer was given

    def make(self, body: Any) -> None:
        with self._lock:
            self.made[body["id"]] = seen(body)
            self.about[body["id"]] = body
            self.recent = [*self.recent, body["id"]][-_AT_HAND:]

    def note(self, id: str, name: str, asked: datetime, step: Step) -> None:
        with self._lock:
            self.history.setdefault(id, []).append(Done(name, asked, now(), step))

    def count(self, name: str, answer: Answer) -> None:
        with self._lock:
            kind = f"{name} {answer.status if answer.status < 400 else answer.code}"
            self.answers[kind] = self.answers.get(kind, 0) + 1

    def same_key(self, key: str, id: str) -> None:
        with self._lock:
            if self.keys.setdefault(key, id) != id:
                self.faults.append(f"the key {key} made {id} and {self.keys[key]}")

    def fault(self, text: str) -> None:
        with self._lock:
            self.faults.append(text)


class Client:
    """One of the crowd; for one thread."""

    def __init__(
        self,
        book: Book,
        nodes: Sequence[Node],
        keys: tuple[str, str],
        *,
        seed: int,
        quarantine: timedelta,
    ) -> None:
        """``keys``: the tenant's bearer and a carrier's."""
        self._book, self._rng, self._quarantine = book, random.Random(seed), quarantine
        self._tenant = [Line(node, keys[0]) for node in nodes]
        self._carrier = [Line(node, keys[1]) for node in nodes]
        self._acts: list[tuple[Callable[[], None], int]] = [
            (self.bind, 28),
            (self.bind_twice, 4),
            (self.bind_bulk, 3),
            (self.change, 14),
            (self.extend, 14),
            (self.join, 7),
            (self.leave, 7),
            (self.release, 9),
            (self.release_bulk, 3),
            (self.look, 11),
        ]

    def act(self) -> None:
        """One request, or a few that belong together."""
        acts, weights = zip(*self._acts, strict=True)
        (chosen,) = self._rng.choices(acts, weights)
        chosen()

    def close(self) -> None:
        for line in (*self._tenant, *self._carrier):
            line.close()

    def bind(self) -> None:
        body = self._wanted()
        self._bound(self._ask("bind", "POST", "/v1/bindings", body))

    def bind_twice(self) -> None:
        """The same request at two nodes, as a client does that had no answer."""
        body, key = self._wanted(), f"{self._rng.getrandbits(64):016x}"
        for line in self._tenant:
            asked = now()
            answer = line.ask("POST", "/v1/bindings", body, key)
            self._book.count("bind again", answer)
            if answer.status != 201:
                self._expect(answer)
                continue
            self._book.same_key(key, answer.body["id"])
            if answer.replayed:
                self._book.note(
                    answer.body["id"], "replay", asked, read(seen(answer.body), answer.body["status"])
                )
            else:
                self._bound(answer)

    def bind_bulk(self) -> None:
        items = [self._wanted() for _ in range(self._rng.randint(2, 5))]
        answer = self._ask("bind bulk", "POST", "/v1/bindings/bulk", {"items": items})
        for one in answer.body["results"]:
            self._bound(Answer(one["status"], one.get("binding") or one.get("problem")))

    def change(self) -> None:
        who = {side: self._rng.choice(PEOPLE) for side in self._rng.choice((["a"], ["b"], ["a", "b"]))}
        self._changed(
            "change",
            "PATCH",
            "",
            who,
            lambda state: Seen(
                who.get("a") or state.a,
                who.get("b") or state.b,
                state.members,
                state.expires_at,
            ),
        )

    def extend(self) -> None:
        self._changed("extend", "PATCH", "", {"ttl": self._rng.choice((1, 1, 2, 20))}, None)

    def join(self) -> None:
        who = self._rng.sample(PEOPLE, self._rng.randint(1, 2))
        self._changed(
            "join",
            "POST",
            "/members",
            {"members": who},
            lambda state: Seen(state.a, state.b, (*state.members, *who), state.expires_at),
        )

    def leave(self) -> None:
        who = [self._rng.choice(PEOPLE)]
        self._changed(
            "leave",
            "DELETE",
            "/members",
            {"members": who},
            lambda state: Seen(
                state.a, state.b, tuple(one for one in state.members if one not in who), state.expires_at
            ),
        )

    def release(self) -> None:
        id = self._some()
        if id is None:
            return
        asked = now()
        answer = self._ask("release", "DELETE", f"/v1/bindings/{id}")
        self._released(id, asked, answer.body)

    def release_bulk(self) -> None:
        ids = self._rng.sample(self._book.recent, min(3, len(self._book.recent)))
        if not ids:
            return
        asked = now()
        answer = self._ask("release bulk", "POST", "/v1/bindings/bulk-release", {"ids": ids})
        for id, one in zip(ids, answer.body["results"], strict=True):
            self._released(id, asked, one["released"])

    def look(self) -> None:
        id = self._some()
        if id is not None:
            self._look(id)

    def _look(self, id: str) -> None:
        """Read it; if it reads as over, no node connects its pairs while they are in quarantine."""
        asked = now()
        answer = self._ask("look", "GET", f"/v1/bindings/{id}")
        shown = seen(answer.body)
        self._book.note(id, "look", asked, read(shown, answer.body["status"]))
        if answer.body["status"] == "active":
            return
        free_at = (shown.released_at or shown.expires_at) + self._quarantine
        far = answer.body.get("y") or answer.body["x"]
        pairs = [(answer.body["x"], who) for who in (shown.members or (shown.a,))] + [(far, shown.b)]
        for number, who in pairs:
            call = {"called": number, "caller": who}
            went = self._rng.choice(self._carrier).ask("POST", "/v1/translations", call)
            self._book.count("translate", went)
            if went.status == 503:  # not in time, which a carrier hears as "later"
                continue
            if went.body["decision"] == "connect" and now() < free_at:
                self._book.fault(f"{id} reads {answer.body['status']}, and {who} on {number} is connected")

    def _wanted(self) -> dict[str, Any]:
        rng = self._rng
        mode = rng.choice(MODES)
        b, *near = rng.sample(PEOPLE, rng.randint(2, 4))
        who: dict[str, Any] = {"members": near} if mode.startswith("G") else {"a": near[0]}
        x = {"x": rng.choice(NUMBERS)} if rng.random() < 0.8 else {}
        return {"mode": mode, "b": b, **who, **x, "order_id": "o", "ttl": rng.choice((1, 2, 2, 5, 20))}

    def _ask(self, name: str, method: str, path: str, body: Any = None) -> Answer:
        answer = self._rng.choice(self._tenant).ask(method, path, body)
        self._book.count(name, answer)
        return answer

    def _some(self) -> str | None:
        recent = self._book.recent
        return self._rng.choice(recent) if recent else None

    def _bound(self, answer: Answer) -> None:
        if answer.status == 201:
            self._book.make(answer.body)
        else:
            self._expect(answer)

    def _changed(
        self,
        name: str,
        method: str,
        path: str,
        body: Any,
        change: Callable[[Seen], Seen] | None,
    ) -> None:
        id = self._some()
        if id is None:
            return
        asked = now()
        answer = self._ask(name, method, f"/v1/bindings/{id}{path}", body)
        if answer.status == 200:
            shown = seen(answer.body)
            if answer.body["status"] != "active":
                self._book.fault(f"{name} of {id} was done, and it reads {answer.body['status']}")
            step = extended(shown) if change is None else became(change, shown)
            self._book.note(id, name, asked, step)
        elif answer.code == "binding_ended":
            self._book.note(id, f"{name}: over", asked, refused_as_over())
            self._look(id)
        else:
            self._expect(answer)

    def _released(self, id: str, asked: datetime, body: Any) -> None:
        self._book.note(id, "release", asked, released(body["status"], instant(body["ended_at"])))
        self._look(id)

    def _expect(self, answer: Answer) -> None:
        if answer.body["code"] not in _NO:
            self._book.fault(f"an answer that nobody expects: {answer.status} {answer.body}")
