"""Who has the last word on a pair, and when a comparison of rules is believed."""

from dataclasses import replace

import pytest

from agent.core.matching.judge import Judgement
from agent.core.matching.operator import read_pair_list
from agent.core.matching.rules import NOT_COMPARED, RulesSample, Word, decide, rules_hash, shown_digest, verdict
from sync.records import JudgedBy, Relation, RuleDifference, YesMapsTo
from tests.factories import make_market

RULES_A = "Resolves to Yes if it rains in Oslo before Friday, 12:00 local time. If cancelled, a fair price is paid."
RULES_B = "This market resolves to YES when rain falls in Oslo by Friday noon. A cancelled event resolves 50-50."
CANCELLED = RuleDifference(
    kind="void", quote_a="If cancelled, a fair price is paid.", quote_b="A cancelled event resolves 50-50."
)
SAMPLE = RulesSample(
    relation=Relation.EQUIVALENT,
    yes_maps_to=YesMapsTo.YES,
    condition_a="if it rains in Oslo before Friday",
    condition_b="when rain falls in Oslo by Friday noon",
    differences=(CANCELLED,),
)
TEXTS = Judgement(Relation.EQUIVALENT, YesMapsTo.YES)


def worth(*samples, rules_a=RULES_A, rules_b=RULES_B):
    return verdict(samples, rules_a, rules_b, model="m", prompt_version="v")


def test_two_samples_whose_quotes_stand_are_believed():
    """Capitals, spacing and typographic quotation marks are the model's own; the words are not."""
    second = replace(SAMPLE, condition_a="IF  it rains in Oslo\nbefore Friday")

    found = worth(SAMPLE, second)

    assert (found.relation, found.yes_maps_to) == (Relation.EQUIVALENT, YesMapsTo.YES)
    assert found.differences == (CANCELLED,)


@pytest.mark.parametrize(
    "broken",
    [
        {"condition_a": "if it pours in Oslo before Friday"},  # nowhere in A
        {"condition_a": SAMPLE.condition_b},  # stands in B only
        {"condition_b": "by Friday"},  # too short to mean anything
        {"condition_a": ""},
        {
            "differences": (
                RuleDifference(kind="tie", quote_a="a tie pays half to everyone", quote_b="A cancelled event"),
            )
        },
        {"yes_maps_to": YesMapsTo.UNCLEAR},  # a relation without its side
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_one_sample_with_a_quote_that_does_not_stand_spoils_both(broken, place):
    """A model that invents words invents verdicts."""
    samples = [SAMPLE, SAMPLE]
    samples[place] = replace(SAMPLE, **broken)

    found = worth(*samples)

    assert (found.relation, found.yes_maps_to, found.differences) == (Relation.UNCLEAR, YesMapsTo.UNCLEAR, ())
    assert "reading of the rules" in found.reasons[0]


@pytest.mark.parametrize(
    "other", [{"relation": Relation.A_IMPLIES_B}, {"yes_maps_to": YesMapsTo.NO}, {"relation": Relation.DIFFERENT}]
)
def test_samples_that_disagree_are_unclear(other):
    """One throw of a die is no judgement."""
    found = worth(SAMPLE, replace(SAMPLE, **other))

    assert found.relation is Relation.UNCLEAR
    assert "two readings of the rules differ" in found.reasons[0]


def test_one_sample_alone_is_no_verdict():
    """The second call may have failed."""
    assert worth(SAMPLE).relation is Relation.UNCLEAR


def test_a_sample_with_changed_places_is_turned_back():
    """B implies A of (B, A) is A implies B of (A, B); of an inverted pair it is its own contraposition."""
    one = replace(SAMPLE, relation=Relation.A_IMPLIES_B)

    assert one.turned().relation is Relation.B_IMPLIES_A
    assert one.turned().condition_a == SAMPLE.condition_b
    assert one.turned().differences[0].quote_a == CANCELLED.quote_b
    assert one.turned().turned() == one
    assert replace(one, yes_maps_to=YesMapsTo.NO).turned().relation is Relation.A_IMPLIES_B


def test_the_operator_stands_above_the_rules_and_the_rules_above_the_texts():
    """A person has read both; a model has read more than a title."""
    different = worth(*2 * [replace(SAMPLE, relation=Relation.DIFFERENT)])

    by_text, by_rules = decide(TEXTS, None, None), decide(TEXTS, different, None)
    forced, forbidden = decide(TEXTS, different, Word(True, inverted=True)), decide(TEXTS, None, Word(False, note="n"))

    assert (by_text.by, by_text.judgement.relation) == (JudgedBy.TEXT, Relation.EQUIVALENT)
    assert NOT_COMPARED in by_text.judgement.reasons
    assert (by_rules.by, by_rules.judgement.relation) == (JudgedBy.RULES, Relation.DIFFERENT)
    assert (forced.by, forced.judgement.relation, forced.judgement.yes_maps_to) == (
        JudgedBy.OPERATOR, Relation.EQUIVALENT, YesMapsTo.NO,
    )  # fmt: skip
    assert forbidden.judgement.relation is Relation.DIFFERENT
    assert "n" in forbidden.judgement.reasons


def test_texts_and_rules_that_disagree_on_the_side_are_unclear():
    """A question turned round is the costliest mistake: nobody is believed alone."""
    turned = worth(*2 * [replace(SAMPLE, yes_maps_to=YesMapsTo.NO)])

    assert decide(TEXTS, turned, None).judgement.relation is Relation.UNCLEAR
    doubt = Judgement(Relation.UNCLEAR)
    assert decide(doubt, turned, None).judgement.yes_maps_to is YesMapsTo.NO  # the texts had no opinion


@pytest.mark.parametrize("changed", ["title", "event_title", "proposition", "category", "rules_text", "outcome_labels"])
def test_any_changed_word_asks_for_a_new_verdict(changed):
    """And a price, a date or a look of the clock does not."""
    a, b = make_market(), make_market(market_key="kalshi:K", title="Cut?")
    before = rules_hash(shown_digest(a), shown_digest(b))
    value = ("No", "Yes") if changed == "outcome_labels" else "other words"

    assert rules_hash(shown_digest(make_market(**{changed: value})), shown_digest(b)) != before
    assert rules_hash(shown_digest(make_market(close_time=None, fetched_at=b.fetched_at)), shown_digest(b)) == before
    assert rules_hash(shown_digest(b), shown_digest(a)) != before


def test_an_operators_list_names_markets_by_key_or_by_the_venues_id():
    """As they stand in the status, or in the venue's own address."""
    found = read_pair_list(
        {
            "allow": [{"kalshi": "KX-1", "polymarket": "polymarket:0x1", "inverted": True, "note": "read"}],
            "deny": [{"kalshi": "kalshi:KX-2", "polymarket": "0x2"}],
        }
    )

    assert found.faults == ()
    assert found.words == {
        ("kalshi:KX-1", "polymarket:0x1"): Word(True, inverted=True, note="read"),
        ("kalshi:KX-2", "polymarket:0x2"): Word(False),
    }


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"alow": []}, "alow: no such list"),
        ({"allow": {"kalshi": "K"}}, "allow: not a list"),
        ({"allow": ["K"]}, "allow 1: not a table"),
        ({"allow": [{"kalshi": "K"}]}, "allow 1: polymarket missing"),
        ({"deny": [{"kalshi": "K", "polymarket": 7}]}, "deny 1: polymarket: 7 is not a text"),
        ({"deny": [{"kalshi": "K", "polymarket": "0x1", "inverted": True}]}, "deny 1: inverted: no such field"),
        (
            {"allow": [{"kalshi": "K", "polymarket": "0x1", "inverted": "yes"}]},
            "allow 1: inverted: 'yes' is not true or",
        ),
        ({"allow": [{"kalshi": "", "polymarket": "0x1"}]}, "allow 1: kalshi: '' is not a text"),
    ],
)
def test_a_bad_entry_is_a_sentence_and_takes_no_other_with_it(table, said):
    """A slip of the pen must not lift somebody else's ban."""
    good = {"kalshi": "GOOD", "polymarket": "0xgood"}
    with_good = {name: [*entries, good] if isinstance(entries, list) else entries for name, entries in table.items()}
    with_good.setdefault("deny", [good])

    found = read_pair_list(with_good)

    assert any(fault.startswith(said) for fault in found.faults)
    assert ("kalshi:GOOD", "polymarket:0xgood") in found.words
    assert len(found.words) == 1


def test_a_pair_on_both_lists_is_forbidden():
    """The careful reading, and a sentence about it."""
    pair = {"kalshi": "K", "polymarket": "0x1"}

    found = read_pair_list({"allow": [pair], "deny": [pair]})

    assert [word.allowed for word in found.words.values()] == [False]
    assert "forbidden" in found.faults[0]
