# noqa: INP001  Alembic loads revisions by path, not as a package
"""Credits and on-demand predictions."""

from cloudapi.migrations.runner import execute_file

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    execute_file("0011_sessions.sql")


def downgrade() -> None:
    # Forward only: an older release reads a newer schema (expand first), a mistake is mended by the next revision.
    raise RuntimeError("migrations go forward only; restore a backup instead")
