# noqa: INP001  Alembic loads revisions by path, not as a package
"""The benchmark's marks, scores, passes and reports."""

from cloudapi.migrations.runner import execute_file

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    execute_file("0006_benchmark.sql")


def downgrade() -> None:
    # Forward only: an older release reads a newer schema (expand first), a mistake is mended by the next revision.
    raise RuntimeError("migrations go forward only; restore a backup instead")
