"""Histories and boards for the tests of the detectors: a row each quarter hour, the last one at noon."""

from datetime import timedelta

from agent.core.patterns.base import Board, Finding, History
from tests.factories import NOON, make_market, make_quote

QUARTER = timedelta(minutes=15)


def history(key: str = "polymarket:0xa", mids=(), *, half=0.01, volumes=None, halves=None, **market) -> History:
    """One market; its newest row is of NOON."""
    rows = len(mids)
    halves = halves or [half] * rows
    volumes = volumes or [1000.0] * rows
    quotes = [
        make_quote(
            market_key=key,
            fetched_at=NOON - (rows - 1 - i) * QUARTER,
            bid=round(mid - halves[i], 6),
            ask=round(mid + halves[i], 6),
            volume_24h=volumes[i],
        )
        for i, mid in enumerate(mids)
    ]
    return History(make_market(market_key=key, **market), quotes)


def legs(*paths, event="1", **market) -> list[History]:
    """The legs of one exclusive event, one path of mids each."""
    given = {"event_id": event, "mutually_exclusive": True} | market
    return [history(f"polymarket:0x{event}{i}", path, **given) for i, path in enumerate(paths)]


def found(detector, *histories: History, **board) -> list[Finding]:
    """What a detector finds at noon; its score must follow from its evidence alone."""
    findings = list(detector.find(Board(histories, NOON, **board)))
    assert all(detector.score(finding.evidence) == finding.score for finding in findings)
    return findings
