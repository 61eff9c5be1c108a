# noqa: INP001  Alembic loads revisions by path, not as a package
"""People: accounts, logins, usage, idempotency keys; and what the live feed tells."""

from cloudapi.migrations.runner import execute_file

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    execute_file("0010_accounts.sql")


def downgrade() -> None:
    # Forward only: an older release reads a newer schema (expand first), a mistake is mended by the next revision.
    raise RuntimeError("migrations go forward only; restore a backup instead")
