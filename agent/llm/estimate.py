"""How many tokens a prompt has before anybody counted them: characters times a ratio that learns. Pure.

Law: for pacing only; money is reserved by bytes, which bound tokens whatever the text. Starts at the ratio that is
safe for English and JSON (3.2 characters a token, 15 % on top) and follows what the service counts, with a margin of
twice the usual error, as TCP estimates round-trip times (Jacobson, 1988).
"""

import math

FIRST_RATIO = 1 / 3.2  # tokens a character
FIRST_MARGIN = 0.15
LEAST_MARGIN = 0.05
GAIN = 1 / 8  # weight of one observation; Jacobson's
BOUNDS = (1 / 12, 2.0)  # tokens a character of any real text; outside it something counted wrong


class PromptEstimate:
    """One model's ratio: tokenisers differ between families."""

    def __init__(self) -> None:
        self._ratio = FIRST_RATIO
        self._error = FIRST_RATIO * FIRST_MARGIN / 2

    def tokens(self, n_chars: int) -> int:
        """What a prompt of so many characters probably takes, rather more than less."""
        return math.ceil(n_chars * (self._ratio + max(2 * self._error, LEAST_MARGIN * self._ratio)))

    def learn(self, n_chars: int, n_tokens: int) -> None:
        """Take in what the service counted."""
        if n_chars <= 0 or not BOUNDS[0] <= (seen := n_tokens / n_chars) <= BOUNDS[1]:
            return
        off = seen - self._ratio
        self._ratio += GAIN * off
        self._error += GAIN * (abs(off) - self._error)
