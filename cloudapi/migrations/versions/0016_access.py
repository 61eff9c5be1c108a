# noqa: INP001  Alembic loads revisions by path, not as a package
"""What rights rest on: the key behind a browser's session, and the one figure told of all accounts' sessions."""

from cloudapi.migrations.runner import execute_file

revision = "0016"
down_revision = "0012"


def upgrade() -> None:
    execute_file("0016_access.sql")


def downgrade() -> None:
    # Forward only: an older release reads a newer schema (expand first), a mistake is mended by the next revision.
    raise RuntimeError("migrations go forward only; restore a backup instead")
