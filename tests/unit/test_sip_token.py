"""Dialog tokens: back and forth, tampering, keys that change."""

from pathlib import Path
from secrets import token_hex

import msgspec
import pytest
import sip_samples
from hypothesis import given
from hypothesis import strategies as st
from sip_checks import KEYS, LEG, state_for

from qibai.core.errors import BadMessage, TokenBroken
from qibai.core.sip import Leg, Message, leg_of_request, parse
from qibai.store.keys import Keyring
from qibai.voice.token import DialogState, open_state, seal_state

STATE = state_for(LEG, from_caller=True)
_text = st.text(max_size=60)


class Ring:
    """Several token keys, one of them current."""

    def __init__(self, current: int, *ids: int) -> None:
        self.keys = {id: bytes([id]) * 32 for id in (current, *ids)}
        self.current_token_key = (current, self.keys[current])

    def token_key(self, id: int) -> bytes:
        return self.keys[id]


@given(
    leg=st.builds(Leg, _text, st.lists(_text, max_size=8).map(tuple), _text, _text, _text, _text, _text),
    id=st.integers(0, 2**63 - 1),
    text=_text,
)
def test_round_trip(leg: Leg, id: int, text: str) -> None:
    state = DialogState(True, leg, (text,), 99_999_999, id, id, 7, 2**40, 14_400, 0, text, text, text)
    token = seal_state(state, KEYS)
    assert open_state(token, KEYS) == state
    assert token == seal_state(state, KEYS)


def test_a_usual_token_is_short_and_safe_in_a_uri() -> None:
    token = seal_state(STATE, KEYS)
    assert len(token) <= 420
    assert token.replace("-", "").replace("_", "").isalnum()


def test_every_changed_character_is_noticed() -> None:
    token = seal_state(STATE, KEYS)
    for place in range(len(token) - 1):
        other = "A" if token[place] != "A" else "B"
        with pytest.raises(TokenBroken):
            open_state(token[:place] + other + token[place + 1 :], KEYS)


@pytest.mark.parametrize("token", ["", "A", "AA", "AQ", "A" * 40, "!!!!", "é", "A" * 9000, "AQ==" * 20])
def test_garbage(token: str) -> None:
    with pytest.raises(TokenBroken):
        open_state(token, KEYS)


def test_keys_change() -> None:
    old = seal_state(STATE, Ring(1))
    assert open_state(old, Ring(2, 1)) == STATE
    assert seal_state(STATE, Ring(2, 1)) != old
    with pytest.raises(TokenBroken):
        open_state(seal_state(STATE, Ring(1)), _swapped())


def _swapped() -> Ring:
    """Key 1 is another key here."""
    ring = Ring(2, 1)
    ring.keys[1] = b"x" * 32
    return ring


def test_with_a_real_keyring(tmp_path: Path) -> None:
    ring = Keyring.load_or_create(tmp_path / "keys.json")
    assert open_state(seal_state(STATE, ring), ring) == STATE
    other = Keyring.load_or_create(tmp_path / "others.json")
    with pytest.raises(TokenBroken):
        open_state(seal_state(STATE, ring), other)


def test_the_longest_legs_still_fit() -> None:
    leg = Leg("c" * 900, ("r" * 200,) * 7, *["x"] * 5)
    state = msgspec.structs.replace(STATE, leg=leg, near_routes=tuple(token_hex(155) for _ in range(8)))
    token = seal_state(state, KEYS)
    assert open_state(token, KEYS) == state


def test_endless_names_are_refused() -> None:
    def with_routes(*hops: str) -> Message:
        routes = ", ".join(f"<sip:{hop};lr>" for hop in hops)
        return parse(sip_samples.INVITE.replace("<sip:10.20.30.40;lr;u=13800138000>", routes))

    assert len(leg_of_request(with_routes("a" * 1_900)).routes) == 2
    with pytest.raises(BadMessage):
        leg_of_request(with_routes("a" * 1_900, "b" * 1_900))


@pytest.mark.parametrize("step", [-43_200, 0, 3_600, 43_200])
def test_setting_the_clock_makes_no_standing_call_one_that_is_over(step: int) -> None:
    """Else its next session refresh would be refused, which ends the call."""
    last = STATE.started_at + 60 + STATE.max_call_s
    assert not STATE.is_over(last + step, ring_timeout_s=60)
    assert STATE.is_over(last + 90_000, ring_timeout_s=60)
