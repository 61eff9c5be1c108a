"""Several hosts share the work: never two on one thing, nothing left lying, whoever hears what first."""

from hypothesis import given
from hypothesis import strategies as st

from sync.duty import MARGIN_S, TTL_S, Duty, owner
from sync.protocol import View

KEYS = [f"kalshi:M{i}" for i in range(200)]


def view(number: int, *members: str, settled: bool = True, alone: bool = False) -> View:
    return View(view_no=number, members=members, settled=settled, alone=alone)


def test_a_host_that_goes_moves_only_its_own_share():
    """Everything else keeps its place, with its kept results and its turn."""
    before = {key: owner(key, ("a", "b", "c")) for key in KEYS}
    after = {key: owner(key, ("a", "b")) for key in KEYS}

    assert {before[key] for key in KEYS if before[key] != after[key]} == {"c"}
    assert min(sum(host == name for host in before.values()) for name in "abc") > 40


def test_a_lone_host_works_without_a_cloud():
    """Weeks offline stop nothing at home."""
    fresh, alone = Duty("a"), Duty("a")
    alone.note(view(1, "a", alone=True), 0.0)

    assert fresh.mine("k", 0.0)
    assert alone.mine("k", 1e9)


def test_a_host_that_has_met_others_stands_by_after_a_restart_until_the_cloud_answers():
    """Its lease ended with the process: what it held may be another's, and the cloud cannot be asked."""
    again = Duty("a", has_met=True)

    assert not again.serves(0.0)
    assert not any(again.mine(key, 0.0) for key in KEYS)
    again.note(view(7, "a", "b"), 10.0)
    assert again.serves(11.0)
    assert {key for key in KEYS if again.mine(key, 11.0)} == {key for key in KEYS if owner(key, ("a", "b")) == "a"}
    again.note(view(8, "a", alone=True), 20.0)
    assert again.mine("k", 1e9)


def test_a_standby_works_only_while_it_is_called():
    """It may cost money only when nobody else does."""
    standby = Duty("s", standby=True)

    assert not standby.serves(0.0)
    standby.note(view(1, "home"), 0.0)
    assert not standby.serves(1.0)
    standby.note(view(2, "s"), 30.0)
    assert standby.mine("k", 31.0)


def test_what_is_lost_is_given_up_at_once_and_what_is_gained_waits_for_all():
    """The newcomer begins when the old hand has let go, not before."""
    old, new = Duty("a"), Duty("b")
    old.note(view(1, "a"), 0.0)
    moving = next(key for key in KEYS if owner(key, ("a", "b")) == "b")

    new.note(view(2, "a", "b", settled=False), 1.0)
    assert old.mine(moving, 2.0)
    assert not new.mine(moving, 2.0)

    old.note(view(2, "a", "b"), 3.0)
    assert not old.mine(moving, 4.0)
    assert not new.mine(moving, 4.0)

    new.note(view(2, "a", "b"), 5.0)
    assert new.mine(moving, 6.0)


def test_a_lease_ends_by_our_own_timer():
    """A host cut off from the cloud must have stopped when another takes its share."""
    duty = Duty("a")
    duty.note(view(1, "a", "b"), 0.0)

    assert not duty.serves(TTL_S - MARGIN_S)
    assert not any(duty.mine(key, TTL_S - MARGIN_S) for key in KEYS)


class Registry:
    """The cloud's half, as edge_attend has it."""

    def __init__(self) -> None:
        self.number, self.members, self.leases, self.seen, self.standby = 0, (), {}, {}, {}

    def attend(self, host: str, now: float, *, standby: bool, leaves: bool) -> View:
        self.leases[host], self.standby[host] = now + (0 if leaves else TTL_S), standby
        self.seen[host] = self.number
        living = [name for name, until in self.leases.items() if until > now]
        first = [name for name in living if not self.standby[name]] or living
        members = tuple(sorted(first))
        if members != self.members:
            self.number, self.members = self.number + 1, members
            self.seen[host] = self.number
        settled = all(self.seen[name] >= self.number for name in living)
        return View(view_no=self.number, members=members, settled=settled, alone=len(self.leases) == 1)


steps = st.lists(
    st.tuples(st.sampled_from("abcs"), st.sampled_from(["attend", "attend", "attend", "leave"]), st.floats(0, 60)),
    max_size=60,
)


@given(steps)
def test_no_two_hosts_ever_work_on_one_thing(script):
    """Whatever order they come, fall silent and return in; a host is alone only before the second one came."""
    registry, now = Registry(), 0.0
    duties = {name: Duty(name, standby=name == "s") for name in "abcs"}
    for host in "abcs":  # all have met: a host that never heard of others cannot know of them
        duties[host].note(registry.attend(host, now, standby=host == "s", leaves=False), now)
    for host in "abcs":
        duties[host].note(registry.attend(host, now, standby=host == "s", leaves=False), now)
    for host, what, passes in script:
        now += passes
        seen = registry.attend(host, now, standby=host == "s", leaves=what == "leave")
        if what == "leave":
            duties[host] = Duty(host, standby=host == "s")
            duties[host].note(seen, float("-inf"))
        else:
            duties[host].note(seen, now)
        for key in KEYS[:12]:
            assert sum(duty.mine(key, now) for duty in duties.values()) <= 1
