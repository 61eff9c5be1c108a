"""How long to wait before trying again. Pure: the random share is drawn by the caller.

Full jitter: spreads the callers that failed together over the whole interval, which clears a jam sooner than
waits that are merely shaken. Source: Brooker, "Exponential Backoff And Jitter", 2015.
"""

_MAX_DOUBLINGS = 32  # beyond it any cap is long reached; keeps the power from overflowing a float


def next_delay_s(attempt: int, base_s: float, cap_s: float, jitter: float) -> float:
    """Seconds to wait after failed attempt number `attempt`.

    Args:
        attempt: 1 after the first failure.
        base_s: upper end of the first wait; doubles with each attempt.
        cap_s: no wait is longer.
        jitter: a random share in [0, 1].
    Raises: ValueError for an attempt below 1 or a jitter outside [0, 1].
    """
    if attempt < 1 or not 0 <= jitter <= 1:
        raise ValueError(f"next_delay_s: attempt {attempt}, jitter {jitter}: wants attempt >= 1 and jitter in [0, 1]")
    return jitter * min(cap_s, base_s * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS))
