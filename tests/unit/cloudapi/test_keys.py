"""API keys: made, recognised, hashed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudapi.keys import ALPHABET, hash_key, is_well_formed, make_key, prefix_of


@given(st.binary(min_size=32, max_size=32))
def test_every_made_key_is_recognised(random_bytes: bytes) -> None:
    """Leading zero bytes included: the length is fixed."""
    key = make_key(random_bytes)

    assert is_well_formed(key)
    assert len(key) == 59
    assert key.startswith(prefix_of(key))
    assert len(hash_key(key)) == 32


@given(st.binary(min_size=32, max_size=32), st.integers(10, 58), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_noticed(random_bytes: bytes, place: int, other: str) -> None:
    """A mistyped key is refused before it costs a look-up."""
    key = make_key(random_bytes)
    typo = key[:place] + other + key[place + 1 :]

    assert is_well_formed(typo) == (typo == key)


@pytest.mark.parametrize("text", ["", "odds_live_", "odds_test_" + "0" * 49, "odds_live_" + "é" * 49, "Bearer x"])
def test_what_is_no_key_is_refused(text: str) -> None:
    """Anything at all can arrive in a header."""
    assert not is_well_formed(text)


def test_different_bytes_give_different_keys() -> None:
    """Two accounts never share a key or a hash."""
    keys = {make_key(bytes([n] * 32)) for n in range(256)}

    assert len(keys) == len({hash_key(key) for key in keys}) == 256


def test_key_needs_all_its_randomness() -> None:
    """A short source must not make a weak key quietly."""
    with pytest.raises(ValueError, match="32 random bytes"):
        make_key(b"too short")
