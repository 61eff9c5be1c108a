# noqa: INP001  Alembic loads revisions by path, not as a package
"""Base schema: edge ledger, markets, prices, insights, predictions, accounts."""

from cloudapi.migrations.runner import execute_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    execute_file("0001_base.sql")


def downgrade() -> None:
    # Forward only: an older release reads a newer schema (expand first), a mistake is mended by the next revision.
    raise RuntimeError("migrations go forward only; restore a backup instead")
