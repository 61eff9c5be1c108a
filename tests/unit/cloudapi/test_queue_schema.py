"""The task queue's tables come with its library; the revision that made them took those of one release."""

import hashlib

from procrastinate.schema import SchemaManager

# Of 3.10. Another one means: tables that are there differ from what the library wants. Write a revision with the
# library's own migrations between the two (procrastinate/sql/migrations), then put the new digest here.
DIGEST = "c70ec4b400a60ad9592787653aae5ae77ae41bf801d56b5bd2712751a07f2009"


def test_the_librarys_tables_are_those_of_our_revision() -> None:
    """An upgrade of the library that changes its tables is found here, not by the first task in production."""
    assert hashlib.sha256(SchemaManager.get_schema().encode()).hexdigest() == DIGEST
