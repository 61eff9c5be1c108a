# noqa: INP001  Alembic loads revisions by path, not as a package
"""The record of predictions by edge, for whoever verifies it."""

from cloudapi.migrations.runner import execute_file

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    execute_file("0005_record.sql")


def downgrade() -> None:
    # Forward only: an older release reads a newer schema (expand first), a mistake is mended by the next revision.
    raise RuntimeError("migrations go forward only; restore a backup instead")
