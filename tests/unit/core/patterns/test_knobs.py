"""Thresholds are turned by settings or refused in words; nothing is turned silently."""

import math

import pytest

from agent.core.patterns.base import Guard
from agent.core.patterns.event_sum import EventSum
from agent.core.patterns.knobs import knobs
from agent.core.patterns.price_jump import PriceJump
from agent.core.patterns.registry import BUILT_IN, chosen, guard, table_faults


def test_a_threshold_is_turned_and_the_others_stay():
    """The operator's table names what differs."""
    (jump,) = chosen([PriceJump()], {"price_jump": {"min_move": 0.1}})

    assert jump == PriceJump(min_move=0.1)


def test_a_whole_threshold_stays_whole():
    """TOML writes 4.0 where a person means 4."""
    (event_sum,) = chosen([EventSum()], {"event_sum": {"min_legs": 4.0}})

    assert event_sum.min_legs == 4
    assert isinstance(event_sum.min_legs, int)


def test_a_detector_is_switched_off_by_name():
    """And only that one."""
    left = chosen(BUILT_IN, {"price_jump": {"enabled": False}, "momentum": {"enabled": True}})

    assert [one.name for one in left] == [one.name for one in BUILT_IN if one.name != "price_jump"]


def test_the_guard_is_turned_by_its_own_table():
    """What any detector may look at is one setting for all."""
    assert guard({"guard": {"max_age_min": 30}}) == Guard(max_age_min=30.0)
    assert guard({}) == Guard()


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"price_jmp": {}}, "patterns.price_jmp: no such detector; did you mean price_jump?"),
        ({"price_jump": {"min_mov": 1}}, "patterns.price_jump.min_mov: no such threshold; did you mean min_move?"),
        ({"price_jump": {"name": 1}}, "patterns.price_jump.name: no such threshold"),
        ({"price_jump": {"min_move": 0}}, "patterns.price_jump.min_move: must be at least 0.001 and at most 1, not 0"),
        ({"price_jump": {"min_move": math.nan}}, "patterns.price_jump.min_move: must be a number, not nan"),
        ({"price_jump": {"min_move": True}}, "patterns.price_jump.min_move: must be a number, not True"),
        ({"event_sum": {"min_legs": 3.5}}, "patterns.event_sum.min_legs: must be a whole number, not 3.5"),
        ({"event_sum": {"enabled": 1}}, "patterns.event_sum.enabled: must be true or false, not 1"),
        ({"guard": {"max_age": 1}}, "patterns.guard.max_age: no such threshold; did you mean max_age_min?"),
    ],
)
def test_each_fault_is_a_sentence(tables, told):
    """A misspelt threshold would silently keep its default."""
    assert table_faults(tables) == [told]


def test_all_faults_are_told_at_once():
    """A person repairs a file once, not once per fault."""
    assert len(table_faults({"a": {}, "price_jump": {"b": 1, "min_move": -1}})) == 3


def test_two_detectors_of_one_name_are_refused():
    """A name decides what was said already: two of one name would silence each other."""
    assert table_faults({}, [*BUILT_IN, PriceJump()]) == ["detector price_jump: named 2 times"]


def test_a_table_of_a_known_but_unloaded_detector_is_no_fault():
    """check-config does not run other people's code."""
    assert table_faults({"theirs": {"x": 1}}, others=["theirs"]) == []


@pytest.mark.parametrize("thing", [*BUILT_IN, Guard()], ids=lambda thing: getattr(thing, "name", "guard"))
def test_every_threshold_has_a_reason_and_a_default_within_its_limits(thing):
    """A number without a reason is a guess nobody can question."""
    found = knobs(thing)

    assert found
    for name, field in found.items():
        limits = field.metadata["knob"]
        assert len(limits.why) > 15, name
        assert limits.low <= field.default <= limits.high, name
    assert set(found) == {name for name in type(thing).__dataclass_fields__ if name != "name"}
