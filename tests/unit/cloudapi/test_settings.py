"""Settings: both names of each, all faults at once, secrets unseen."""

import pytest

from cloudapi.errors import ConfigError
from cloudapi.settings import CloudSettings

DSN = "postgresql://u:hunter2@db/x"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "PORT", "HOST", "CORS_ORIGINS", "JWT_SECRET", "METRICS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"ODDSD_{name}", raising=False)
    monkeypatch.delenv("ODDSD_ENV", raising=False)


def test_platform_names_work_and_ours_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosting platforms set the plain names; a person who sets ours means it."""
    monkeypatch.setenv("DATABASE_URL", DSN)
    monkeypatch.setenv("PORT", "1000")
    monkeypatch.setenv("ODDSD_PORT", "2000")

    settings = CloudSettings.load()

    assert settings.database_url.get_secret_value() == DSN
    assert settings.port == 2000


def test_every_fault_is_listed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mending one at a time costs a deployment each."""
    for name, value in {"ODDSD_ENV": "production", "REDIS_URL": "http://r", "PORT": "99999"}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigError) as caught:
        CloudSettings.load()

    assert caught.value.exit_code == 78
    named = {fault.split(":")[0] for fault in caught.value.faults}
    assert named == {"DATABASE_URL", "REDIS_URL", "PORT", "JWT_SECRET"}


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """A settings dump ends up in a log sooner or later; so does a fault."""
    monkeypatch.setenv("DATABASE_URL", DSN)
    monkeypatch.setenv("JWT_SECRET", "open sesame")
    assert "hunter2" not in repr(CloudSettings.load())
    assert "sesame" not in repr(CloudSettings.load())

    monkeypatch.setenv("DATABASE_URL", "mysql://u:hunter2@db/x")
    with pytest.raises(ConfigError) as caught:
        CloudSettings.load()

    assert "hunter2" not in str(caught.value)


def test_option_of_another_redis_client_is_dropped() -> None:
    """Guides add `?family=0`, a Node option on which redis-py raises."""
    settings = CloudSettings.load(database_url=DSN, redis_url="redis://r:6379/0?family=0&protocol=3")

    assert settings.redis_url.get_secret_value() == "redis://r:6379/0?protocol=3"


@pytest.mark.parametrize(
    ("text", "origins"),
    [("", ()), ("https://a.example", ("https://a.example",)), ("https://a, https://b,", ("https://a", "https://b"))],
)
def test_origins_are_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch, text: str, origins: tuple[str]) -> None:
    """As the first requirements wrote it."""
    monkeypatch.setenv("CORS_ORIGINS", text)

    assert CloudSettings.load(database_url=DSN).cors_origins == origins
