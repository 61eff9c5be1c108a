"""The road to Postgres crosses the internet: the pinned authority and nothing else, never in the clear."""

from collections.abc import Iterator

import pytest

from sync.errors import SinkHeld, SinkUnavailable
from sync.transports.postgres import PostgresTransport, pinned
from tests.fakes.tls_postgres import TlsPostgres, missing, tls_postgres

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module")
def server() -> Iterator[TlsPostgres]:
    with tls_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def bare() -> Iterator[TlsPostgres]:
    with tls_postgres(plain=True) as running:
        yield running


async def connect(dsn: str, ca, name: str | None = None) -> str:
    session = await PostgresTransport(dsn, host_id="h", tls=pinned(str(ca), name)).connect()
    try:
        version: str = await session._connection.fetchval(
            "select version from pg_stat_ssl where pid = pg_backend_pid()"
        )
        return version
    finally:
        await session.close()


@pytest.mark.parametrize("name", [None, "db.internal"], ids=["any-name", "fixed-name"])
async def test_the_pinned_authority_is_enough_whatever_the_address(server, name):
    """A TCP proxy's name is in nobody's certificate."""
    assert (await connect(server.dsn, server.ca, name)).startswith("TLSv1.")


async def test_another_authority_is_refused_and_waits_for_a_person(server):
    """Whoever stands in between has a certificate too."""
    with pytest.raises(SinkHeld, match="CERTIFICATE_VERIFY_FAILED") as refused:
        await connect(server.dsn, server.other_ca)

    assert "cloud_ca" in refused.value.advice


async def test_another_name_is_refused(server):
    """An authority that signs for many is no proof by itself."""
    with pytest.raises(SinkHeld, match=r"db\.elsewhere"):
        await connect(server.dsn, server.ca, "db.elsewhere")


@pytest.mark.parametrize("mode", ["", "?sslmode=disable", "?sslmode=prefer"])
async def test_a_server_without_tls_is_refused(server, bare, mode):
    """A pinned road is never taken in the clear, whatever the address asks for."""
    with pytest.raises((SinkHeld, SinkUnavailable)):
        await connect(bare.dsn + mode, server.ca)


async def test_an_expired_certificate_is_refused_and_the_clock_is_named():
    """It may be the certificate, or a board that woke up in 1970."""
    with tls_postgres(expired=True) as old, pytest.raises(SinkHeld, match="expired") as refused:
        await connect(old.dsn, old.ca)

    assert "clock" in refused.value.advice
