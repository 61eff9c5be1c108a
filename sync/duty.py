"""Who does which part of the work, where several hosts share it. Pure: told what the cloud said and when.

Law: a host gives up at once whatever a newer view takes from it, and takes what it gains only from a settled view,
which every living host has seen: so no two work on one thing. Its own lease ends by its own timer, before the cloud's
does. Shares are by rendezvous hashing: when a host goes, only its share moves. A host that is alone needs no cloud;
one that has met others works only under its lease, and a restart has none: with the cloud away it stands by, as it
would if it had gone on running.
"""

import hashlib

from sync.protocol import View

TTL_S = 90  # of a lease; a dead host's work is taken over after it
ATTEND_EVERY_S = 30.0
MARGIN_S = 10.0  # ours ends so much before the cloud's: two timers never run alike


def owner(key: str, hosts: tuple[str, ...]) -> str | None:
    """The host among these whose share a key is; None where there is none."""
    return max(hosts, key=lambda host: hashlib.sha256(f"{host}|{key}".encode()).digest(), default=None)


class Duty:
    """One host's part. `note` what the cloud says, then ask `mine`.

    Args:
        has_met: whether it had met others when it last heard of them, in an earlier life too.
    """

    def __init__(self, host_id: str, *, standby: bool = False, has_met: bool = False) -> None:
        self.host_id, self.standby, self.has_met = host_id, standby, has_met
        self.view: View | None = None
        self._settled: tuple[str, ...] = ()  # members of the last settled view
        self._since: list[tuple[str, ...]] = []  # of every later one: each may have taken something from us
        self._until = float("-inf")

    def note(self, view: View, asked_at: float) -> None:
        """Take in a view.

        Args:
            asked_at: monotonic seconds from before the question: the cloud's lease runs from later than that.
        """
        if asked_at >= self._until:  # our lease lapsed meanwhile: what we held may be another's
            self._settled, self._since = (), []
        if view.settled:
            self._settled, self._since = view.members, []
        elif not self._since or self._since[-1] != view.members:
            self._since.append(view.members)
        self.view, self.has_met = view, not view.alone
        self._until = asked_at + TTL_S - MARGIN_S

    def view_is_settled(self) -> bool:
        """Whether every living host has seen the view we know."""
        return self.view is not None and self.view.settled

    def serves(self, now: float) -> bool:
        """Whether this host works at all: a standby does so only while no other host lives."""
        if not self.standby and not self.has_met:
            return True  # nobody to meet: a cloud that is away stops nothing
        return now < self._until and any(self.host_id in members for members in (self._settled, *self._since))

    def mine(self, key: str, now: float) -> bool:
        """Whether this is our part: ours in the settled view and in everything seen since."""
        if not self.standby and not self.has_met:
            return True
        views = (self._settled, *self._since)
        return now < self._until and all(owner(key, members) == self.host_id for members in views)
