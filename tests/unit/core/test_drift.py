"""When a format has changed and when it only had another day: shares, types, counts."""

import pytest

from agent.core.drift import Change, Habit, Profile, Shape, collapse, findings, habit


def profile(n: int = 100, **values) -> Profile:
    """A listing of n records; a value is what every record holds, or a list with one entry per record."""
    made = Profile(n_records=n)
    for index in range(n):
        record = {name: value[index] if isinstance(value, list) else value for name, value in values.items()}
        made.markets.add({name: value for name, value in record.items() if value is not ...})
    return made


def shares(n_true: int, yes, no, n: int = 100) -> list:
    return [yes] * n_true + [no] * (n - n_true)


def changes(before: Profile, now: Profile) -> dict[str, Change]:
    return {finding.field: finding.change for finding in findings(before, now)}


def test_the_same_format_on_another_day_is_no_finding():
    """An alarm that rings every night is switched off."""
    before = profile(bid=shares(65, 0.4, 0.0), category=shares(90, "Sports", None), extra=shares(40, 1, ...))
    now = profile(bid=shares(35, 0.4, 0.0), category=shares(70, "Sports", None), extra=shares(20, 1, ...), new="x")

    assert changes(before, now) == {}


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        ("0.4200", ..., Change.GONE),
        ("0.4200", 42, Change.RETYPED),
        (1, "1", Change.RETYPED),
        ("Sports", None, Change.EMPTIED),
        ("Sports", "", Change.EMPTIED),
        ("0.4200", "0.0000", Change.ZEROED),
        (17, 0, Change.ZEROED),
    ],
)
def test_what_befalls_a_field_has_a_name(before, now, change):
    """Each needs another repair."""
    assert changes(profile(field=before), profile(field=now)) == {"field": change}


def test_whole_and_broken_numbers_are_one_type():
    """Polymarket writes 9000 and 9000.5 into the same field."""
    assert changes(profile(liquidity=9000.5), profile(liquidity=9000)) == {}


def test_a_stray_type_does_not_become_usual():
    """One odd record in a thousand must not hide the day when all are odd."""
    assert changes(profile(200, bid=shares(1, 40, "0.40", 200)), profile(bid=40)) == {"bid": Change.RETYPED}


def test_a_few_records_prove_nothing():
    """Four empty ones out of four are four markets nobody bids on, not a format."""
    assert changes(profile(4, bid="0.4"), profile(bid="0.0")) == {}
    assert changes(profile(bid="0.4"), profile(4, bid="0.0")) == {}


def test_a_step_within_the_noise_of_small_samples_is_chance():
    """With ten records three more or less are luck; with a thousand they are a change."""

    def some(n: int, missing: int) -> Profile:
        return profile(n, field=shares(missing, ..., 1, n))

    assert changes(some(10, 2), some(10, 6)) == {}
    assert changes(some(1000, 200), some(1000, 600)) == {"field": Change.GONE}


def test_events_are_watched_beside_their_markets():
    """A category comes with the event."""
    before, now = Profile(), Profile()
    for _ in range(10):
        before.events.add({"category": "Politics"})
        now.events.add({})

    assert changes(before, now) == {"event.category": Change.GONE}


def test_a_finding_tells_both_shares():
    """Whoever reads it decides whether to worry."""
    (finding,) = findings(profile(yes_bid=shares(90, 44, ...)), profile(volume=1))

    assert finding.words == "yes_bid is gone (missing in 10% of records before, 100% now)"
    assert finding.total


def test_half_a_listing_is_named_a_quarter_less_is_not():
    """A day with half the markets missing looks complete from inside."""
    usual = [800, 820, 810]

    assert collapse(usual, 405) == "405 market records listed, usually 810: 50% are missing"
    assert collapse(usual, 0) is not None
    assert collapse(usual, 610) is None
    assert collapse([], 5) is None


def test_a_lasting_new_size_becomes_usual():
    """After half a day of half the markets, half is what the venue lists."""
    assert collapse([800] * 50 + [400] * 46, 400) is not None
    assert collapse([800] * 46 + [400] * 50, 400) is None


def test_a_habit_is_all_good_listings_together():
    """One listing may have had an odd hour."""
    formed = habit([profile(10, a=1), profile(30, a=1, b="x")], [10, 30])

    assert isinstance(formed, Habit)
    assert (formed.profile.markets.n, formed.profile.markets.presence("b")) == (40, 0.75)
    assert formed.profile.markets.fields["a"].types == {"number": 40}
    assert habit([], [5]) is None


def test_a_field_never_seen_is_in_no_record():
    """Asked before the first record comes."""
    assert Shape().presence("bid") == 0.0
