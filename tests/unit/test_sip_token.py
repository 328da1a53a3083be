"""Dialog tokens: back and forth, tampering, keys that change."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sip_checks import KEYS, LEG, state_for

from qibai.core.errors import TokenBroken
from qibai.core.sip import Leg
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


@pytest.mark.parametrize("token", ["", "A", "AA", "AQ", "A" * 40, "!!!!", "é", "A" * 5000, "AQ==" * 20])
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
