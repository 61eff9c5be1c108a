# noqa: INP001  Alembic loads revisions by path, not as a package
"""How prices are stored is chosen and recorded; packed days, hours, the worker's ledger, named indexes."""

from alembic import op

from cloudapi.migrations.runner import execute_each, execute_file, wanted_storage

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    execute_each("0009_indexes.sql")
    execute_file("0009_storage.sql")
    backend = wanted_storage()
    execute_file(f"0009_{backend}.sql")
    rolled_until = {"native": None, "timescale": "infinity"}[backend]  # the other's hours are always up to date
    op.get_bind().exec_driver_sql(
        "insert into storage_backend (backend, rolled_until) values (%(backend)s, %(rolled_until)s)",
        {"backend": backend, "rolled_until": rolled_until},
    )


def downgrade() -> None:
    # Forward only: an older release reads a newer schema (expand first), a mistake is mended by the next revision.
    raise RuntimeError("migrations go forward only; restore a backup instead")
