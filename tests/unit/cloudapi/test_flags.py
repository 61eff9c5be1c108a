"""Who is in a share, on paper."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from cloudapi.flags import Flag, is_in

PLACES = [81, 85, 60, 61, 45, 3]  # of the account below: the share from which on each flag has it
ACCOUNTS = [uuid.UUID(int=number * 7_919 + 1) for number in range(5_000)]


@given(account=st.uuids(), flag=st.sampled_from(Flag))
def test_who_is_in_stays_in_when_the_share_grows(account: uuid.UUID, flag: Flag) -> None:
    """A capability rolled out from ten to fifty of a hundred is taken from nobody; 0 is nobody, 100 everybody."""
    inside = [is_in(flag, account, share) for share in range(101)]

    assert inside == sorted(inside)
    assert (inside[0], inside[-1]) == (False, True)


def test_a_share_is_what_it_says() -> None:
    """A tenth is a tenth, within what chance allows (three standard errors)."""
    for share in (1, 10, 50, 90):
        n_in = sum(is_in(Flag.MAIL, account, share) for account in ACCOUNTS)
        error = (len(ACCOUNTS) * share / 100 * (1 - share / 100)) ** 0.5

        assert abs(n_in - len(ACCOUNTS) * share / 100) < 3 * error


def test_the_same_accounts_are_not_first_in_everything() -> None:
    """Each flag draws for itself, or some readers would meet every novelty and others none."""
    mail = {account for account in ACCOUNTS if is_in(Flag.MAIL, account, 10)}
    sessions = {account for account in ACCOUNTS if is_in(Flag.SESSIONS, account, 10)}

    assert len(mail & sessions) < len(mail) / 4


def test_a_place_is_the_same_in_every_release() -> None:
    """A hash that changed would take the capability from those who have it."""
    account = uuid.UUID("01930000-0000-7000-8000-000000000001")

    assert [next(share for share in range(101) if is_in(flag, account, share)) for flag in Flag] == PLACES
