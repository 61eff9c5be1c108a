# noqa: INP001  Alembic loads revisions by path, not as a package
"""Requests to the edge, and who is on duty."""

from cloudapi.migrations.runner import execute_file

revision = "0008"
down_revision = "0006"  # 0007 was never given


def upgrade() -> None:
    execute_file("0008_edge.sql")


def downgrade() -> None:
    # Forward only: an older release reads a newer schema (expand first), a mistake is mended by the next revision.
    raise RuntimeError("migrations go forward only; restore a backup instead")
