# noqa: INP001  Alembic loads revisions by path, not as a package
"""Subscribers: billing, watch lists, mails, webhooks, channels, audit, switches; and the task queue's tables."""

from cloudapi.migrations.runner import execute_file, execute_text

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    from procrastinate.schema import SchemaManager

    # The library's schema as of the pinned release; a test holds its digest, a newer one needs a revision of its own.
    execute_text(SchemaManager.get_schema())
    execute_file("0012_subscribers.sql")


def downgrade() -> None:
    # Forward only: an older release reads a newer schema (expand first), a mistake is mended by the next revision.
    raise RuntimeError("migrations go forward only; restore a backup instead")
