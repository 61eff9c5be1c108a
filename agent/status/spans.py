"""How long, when and how many, as people read them on every surface. Pure."""

from datetime import datetime, timedelta
from decimal import Decimal

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def span(duration: timedelta) -> str:
    """The two largest units, the second only where it still matters: "41 s", "17 min", "3 h 5 min", "6 d 3 h".

    A negative duration is a clock that went back, shown as "0 s".
    """
    rest = max(0, int(duration.total_seconds()))
    parts = list[str]()
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count and not (parts and unit == "s"):
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def ago(moment: datetime | None, now: datetime) -> str:
    """A past moment with its age: "14:15:02 (41 s ago)"; "never" for None."""
    if moment is None:
        return "never"
    return f"{clock(moment, now)} ({span(now - moment)} ago)"


def clock(moment: datetime, now: datetime) -> str:
    """Time of day, with the date where it is not today's: "14:15:02", "17 Mar 14:15:02". UTC, as everywhere here."""
    return f"{moment:%H:%M:%S}" if moment.date() == now.date() else f"{moment.day} {moment:%b %H:%M:%S}"


def due(moment: datetime, now: datetime) -> str:
    """A coming moment: "14:30", "17 Mar 06:00"."""
    return f"{moment:%H:%M}" if moment.date() == now.date() else f"{moment.day} {moment:%b %H:%M}"


def counted(n: int, one: str, many: str | None = None) -> str:
    """A count with its noun: "1 row", "4,998 rows"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def usd(amount: Decimal) -> str:
    """Dollars, to the tenth of a cent below one dollar: "$0.031", "$12.40"."""
    return f"${amount:.3f}" if amount < 1 else f"${amount:,.2f}"


def size(n_bytes: int) -> str:
    """Bytes in the largest fitting unit: "640 B", "812 kB", "1.2 GB"."""
    if n_bytes < 1000:
        return f"{n_bytes} B"
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes // 1000} kB"
