# noqa: INP001  Alembic loads revisions by path, not as a package
"""Pairs of markets and arbitrage."""

from cloudapi.migrations.runner import execute_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    execute_file("0003_arbitrage.sql")


def downgrade() -> None:
    # Forward only: an older release reads a newer schema (expand first), a mistake is mended by the next revision.
    raise RuntimeError("migrations go forward only; restore a backup instead")
