# noqa: INP001  Alembic loads revisions by path, not as a package
"""Edges: what a host says of itself, and which accounts are operators."""

from cloudapi.migrations.runner import execute_file

revision = "0019"
down_revision = "0016"


def upgrade() -> None:
    execute_file("0019_edges.sql")


def downgrade() -> None:
    # Forward only: an older release reads a newer schema (expand first), a mistake is mended by the next revision.
    raise RuntimeError("migrations go forward only; restore a backup instead")
