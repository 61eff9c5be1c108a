"""How venues write numbers and compare them, in folded text: the one reader of thresholds. Pure data and one function.

Law: a number has one value whoever reads it (ladders of one event, questions of two venues), exact to the last digit;
which words compare stands here and nowhere else. What a comparison means (a range, a rung) is its reader's business.
"""

from decimal import Decimal
from typing import Final

SCALE: Final = {
    "k": Decimal(1000), "thousand": Decimal(1000), "m": Decimal(1_000_000), "million": Decimal(1_000_000),
    "b": Decimal(10**9), "bn": Decimal(10**9), "billion": Decimal(10**9), "t": Decimal(10**12),
    "trillion": Decimal(10**12),
}  # fmt: skip
DIGITS: Final = r"\d[\d,]*(?:\.\d+)?"
SCALES: Final = "|".join(sorted(SCALE, key=len, reverse=True))

# Before a number. The end itself belongs to the range with the first two, and not with the others.
AT_LEAST: Final = r"at least|no less than|no fewer than|minimum of|>=|≥"
AT_MOST: Final = r"at most|no more than|up to|maximum of|<=|≤"
ABOVE: Final = r"more than|greater than|higher than|above|over|exceeds?|exceeding|>"
BELOW: Final = r"less than|fewer than|lower than|below|under|<"
# Before a number a price touches at any time of a stretch.
REACHES: Final = r"reach(?:es)?|surpass(?:es)?|hits? \(high\)|↑"
FALLS: Final = r"(?:dip|fall|drop)s? (?:to|below)|hits? \(low\)|↓"
# After a number and "or": the end belongs to the range.
OR_MORE: Final = r"more|above|higher|greater|over"
OR_LESS: Final = r"less|below|lower|fewer|under"


def value(digits: str, scale: str | None) -> Decimal:
    """What a written number is worth: "1,250.5" and "k" make 1250500."""
    return (Decimal(digits.replace(",", "")) * SCALE.get(scale or "", Decimal(1))).normalize() + 0
