"""No sequence of events leads a code or an application where it must not go."""

from hypothesis import given
from hypothesis import strategies as st

from qibai.core.pilot import (
    APPLICATION_MOVES,
    ApplicationState,
    CodeEvent,
    CodeState,
    after_application,
    after_code,
)

events = st.lists(st.tuples(st.sampled_from(CodeEvent), st.booleans()), max_size=40)


@given(events)
def test_a_code_in_use_drains_before_it_returns_and_is_opened_before_it_is_used(
    steps: list[tuple[CodeEvent, bool]],
) -> None:
    state, was = CodeState.ASSIGNED, [CodeState.ASSIGNED]
    for event, occupied in steps:
        new = after_code(state, event, occupied=occupied)
        if new is None:
            continue
        if new is CodeState.RETURNED:
            assert not occupied
            assert state in (CodeState.DRAINING, CodeState.ASSIGNED)
        if new is CodeState.IN_USE:
            assert state in (CodeState.OPENED, CodeState.DRAINING)
        if state is CodeState.RETURNED:
            assert new is CodeState.ASSIGNED
        state = new
        was.append(new)
    if CodeState.IN_USE in was:
        assert CodeState.OPENED in was[: was.index(CodeState.IN_USE)]


@given(st.lists(st.sampled_from(ApplicationState), max_size=30))
def test_nothing_is_granted_that_was_not_submitted_and_accepted(wishes: list[ApplicationState]) -> None:
    state, was = ApplicationState.DRAFTED, [ApplicationState.DRAFTED]
    for wish in wishes:
        new = after_application(state, wish)
        if new is not None:
            state = new
            was.append(new)
    if state is ApplicationState.GRANTED:
        assert was[-3:] == [ApplicationState.SUBMITTED, ApplicationState.ACCEPTED, ApplicationState.GRANTED]


def test_a_granted_application_is_final_and_every_state_has_its_moves() -> None:
    assert set(APPLICATION_MOVES) == set(ApplicationState)
    assert not any(after_application(ApplicationState.GRANTED, to) for to in ApplicationState)
