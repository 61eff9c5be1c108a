"""`make match-report`: precision and recall of the deterministic matcher on labelled pairs; table, and JSON in .bench/.

A pair counts as found where the texts alone say EQUIVALENT, either way round; a pair called equal that is inverted is
counted apart and must be none. The labelled corpus is split by Kalshi event: the rules were written looking at the
`seen` half only. The sample is the hand-labelled one of another matcher's hits, so its negatives are all look-alikes;
its fixtures carry no outcome labels, so a title "A vs B" is read as labels (A, B), as that venue lists them.
"""

import argparse
import csv
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.core.matching.judge import judge
from agent.core.matching.reading import read
from sync.records import Market, MarketStatus, Relation, Venue, YesMapsTo
from tests.conftest import RECORDINGS

OUT = Path(".bench/match-report.json")
GOAL_PRECISION, GOAL_RECALL = 0.95, 0.60
_LOOKED_AT = datetime(2026, 6, 1, tzinfo=UTC)
_SIDES = re.compile(r"(?:.*: )?(?P<a>[^:]+?) vs\.? (?P<b>[^:]+?)(?: - .*)?$")


@dataclass(frozen=True, slots=True)
class Pair:
    """A labelled pair: `match` is what people said, `inverted` None where they did not say."""

    split: str
    kalshi: Market
    polymarket: Market
    match: bool
    inverted: bool | None


def corpus(path: Path) -> list[Pair]:
    """The labelled pairs, split in two by Kalshi event."""
    pairs = list[Pair]()
    for line in path.read_text().splitlines():
        row = json.loads(line)
        event = "-".join(row["kalshi_id"].split("-")[:2])
        seen = hashlib.sha256(event.encode()).digest()[0] % 2 == 0
        pairs.append(
            Pair(
                split="corpus, seen half" if seen else "corpus, unseen half",
                kalshi=_market(Venue.KALSHI, row["kalshi_id"], row["kalshi_title"], row["kalshi_close_time"], row["kalshi_subtitle"]),
                polymarket=_market(Venue.POLYMARKET, row["polymarket_id"], row["polymarket_title"], row["polymarket_close_time"]),
                match=row["label"] == "true_match",
                inverted={"inverted": True, "aligned": False}.get(row["polarity"]),
            )
        )  # fmt: skip
    return pairs


def sample(path: Path) -> list[Pair]:
    """The hand-labelled sample of look-alikes, four score bands."""
    with path.open() as file:
        return [
            Pair(
                split="sample of look-alikes",
                kalshi=_market(Venue.KALSHI, row["kalshi_id"], row["kalshi_title"], None, row["kalshi_subtitle"]),
                polymarket=_market(Venue.POLYMARKET, row["pm_id"], row["pm_title"], None, labels=_labels(row["pm_title"])),
                match=row["label"] == "TRUE",
                inverted=True if "inverse" in row["note"] else None,  # a missing note is no word on it
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip


def measure(pairs: Iterable[Pair]) -> dict[str, dict[str, Any]]:
    """Counts and rates, by split."""
    counts: dict[str, Counter[str]] = {}
    for pair in pairs:
        counted = counts.setdefault(pair.split, Counter())
        verdict = judge(read(pair.kalshi), read(pair.polymarket))
        found = verdict.relation is Relation.EQUIVALENT
        counted["pairs"] += 1
        counted["matches"] += pair.match
        counted["found"] += found
        counted["right"] += found and pair.match
        counted["inverted"] += bool(pair.inverted)
        counted["inverted_found"] += bool(pair.inverted) and found and verdict.yes_maps_to is YesMapsTo.NO
        counted["inverted_called_equal"] += bool(pair.inverted) and verdict.equal
        counted["aligned_called_inverted"] += pair.inverted is False and found and not verdict.equal
        counted[f"said {verdict.relation}"] += 1
    return {split: _rates(counted) for split, counted in counts.items()}


def disagreements(pairs: Iterable[Pair]) -> list[str]:
    """Every pair on which we and the label part, one line each."""
    lines = list[str]()
    for pair in pairs:
        verdict = judge(read(pair.kalshi), read(pair.polymarket))
        if (verdict.relation is Relation.EQUIVALENT) != pair.match:
            said = f"{verdict.relation} ({'; '.join(verdict.reasons)})"
            asked = f"{pair.kalshi.title} [{pair.kalshi.proposition or ''}] / {pair.polymarket.title}"
            lines.append(f"{pair.split}: labelled {'match' if pair.match else 'no match'}, said {said}: {asked}")
    return lines


def _rates(counted: Counter[str]) -> dict[str, Any]:
    precision = counted["right"] / counted["found"] if counted["found"] else None
    recall = counted["right"] / counted["matches"] if counted["matches"] else None
    met = precision is not None and recall is not None and precision >= GOAL_PRECISION and recall >= GOAL_RECALL
    return {"precision": precision, "recall": recall, "goal_met": met, **dict(sorted(counted.items()))}


def _market(
    venue: Venue, market_id: str, title: str, close: str | None, proposition: str | None = None, *,
    labels: tuple[str, ...] = ("Yes", "No"),
) -> Market:  # fmt: skip
    return Market(
        market_key=f"{venue}:{market_id}",
        venue=venue,
        venue_market_id=market_id,
        title=title,
        status=MarketStatus.OPEN,
        fetched_at=_LOOKED_AT,
        proposition=proposition or None,
        outcome_labels=labels,
        close_time=datetime.fromisoformat(close) if close else None,
    )


def _labels(title: str) -> tuple[str, ...]:
    match = _SIDES.fullmatch(title)
    if match is None:
        return ("Over", "Under") if "O/U" in title else ("Yes", "No")
    return match["a"], match["b"]


def main() -> int:
    """Print the table; with --pairs also every disagreement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", action="store_true", help="list the pairs on which labels and verdicts part")
    options = parser.parse_args()
    folder = RECORDINGS / "matching"
    if not folder.is_dir():
        print(f"no labelled pairs: {folder.name} is not among the recordings beside this project", file=sys.stderr)
        return 1
    pairs = corpus(folder / "labeled_pairs_kalshi_polymarket.jsonl") + sample(folder / "match_precision_sample.csv")
    result = measure(pairs)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(result, indent=2) + "\n")
    print(
        f"{'':24}{'pairs':>7}{'matches':>9}{'found':>7}{'right':>7}{'precision':>11}{'recall':>8}{'inverted=equal':>16}"
    )
    for split, row in result.items():
        rates = "".join(
            f"{'-' if rate is None else format(rate, '.3f'):>{width}}"
            for rate, width in ((row["precision"], 11), (row["recall"], 8))
        )
        counts = f"{row['pairs']:>7}{row['matches']:>9}{row['found']:>7}{row['right']:>7}"
        print(f"{split:24}{counts}{rates}{row['inverted_called_equal']:>16}")
    if options.pairs:
        print("\n".join(disagreements(pairs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
