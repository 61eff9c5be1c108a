"""Settings: every fault at once, in words, before anything is touched."""

from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.jobs.table import TIMERS
from agent.settings import load_settings

JOBS = tuple(TIMERS)


def faults(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "oddsd.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_settings(file, known_jobs=JOBS)
    return raised.value.faults


def test_all_faults_are_told_at_once(tmp_path):
    """A person repairs a file once, not once per fault."""
    told = faults(
        tmp_path,
        'mqtt_prot = 5\npolymarket_url = "ftp://x"\nai_daily_cap_usd = -4\ndatabase_url = "mysql://x"\n'
        '[jobs.collect]\nschedule = "every day"\n',
    )

    assert len(told) == 5
    text = "\n".join(told)
    assert "mqtt_prot: no such setting; did you mean mqtt_port?" in text
    assert "jobs.collect.schedule: not a cron expression" in text
    assert "polymarket_url: not a web address" in text
    assert "database_url: not a Postgres address" in text
    assert "ai_daily_cap_usd" in text


@pytest.mark.parametrize(
    "address", ["ftp://x", "https://", "http://[::1", "http://h:99999", "http://h:0", "http://h:port/x"]
)
def test_an_address_nobody_can_dial_is_found_before_the_start(tmp_path, address):
    """A port that is none leaves the client as an error nobody expects, at every call."""
    told = faults(tmp_path, f'kalshi_url = "{address}"\n[jobs.collect]\nheartbeat_url = "{address}"\n')

    assert told == [f"kalshi_url: not a web address: {address!r}", "jobs.collect.heartbeat_url: not a web address"]


KEYLESS = ["cloud_url: needs cloud_key, made with: oddsd-cloud key create --scope ingest"]
CLOUD = 'cloud_url = "https://api.example.org"\n'


def test_two_ways_to_the_cloud_are_a_fault_of_the_file(tmp_path):
    """check-config must say what the start would refuse."""
    told = faults(tmp_path, CLOUD + 'cloud_key = "k"\ndatabase_url = "postgresql://x/y"\n')

    assert told == ["database_url and cloud_url: two ways to the cloud; choose one"]


def test_a_cloud_address_without_its_key_is_a_fault_unless_the_service_has_it(tmp_path, monkeypatch):
    """An operator's command is handed no credential: it must not call missing what systemd keeps."""
    monkeypatch.setattr("agent.settings_faults._KEPT", tmp_path)
    assert faults(tmp_path, CLOUD) == KEYLESS

    (tmp_path / "cloud_key").write_text("")
    assert faults(tmp_path, CLOUD) == KEYLESS

    (tmp_path / "cloud_key").write_text("k\n")
    assert load_settings(tmp_path / "oddsd.toml").cloud_key is None

    (tmp_path / "handed").mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "handed"))
    assert faults(tmp_path, CLOUD) == KEYLESS

    monkeypatch.setenv("ODDSD_CREDENTIALS_EXPECTED", "cloud_key")
    assert [fault.split(":")[0] for fault in faults(tmp_path, CLOUD)] == ["credential cloud_key"]


def test_an_unknown_job_is_named_with_a_suggestion(tmp_path):
    """A misspelt job would silently keep its default schedule."""
    assert faults(tmp_path, "[jobs.colect]\nenabled = false\n") == ["jobs.colect: no such job; did you mean collect?"]


def test_a_misspelt_environment_name_is_a_fault(tmp_path, monkeypatch):
    """An environment variable that nobody reads is a setting the operator believes in."""
    monkeypatch.setenv("ODDSD_MQTT_HOTS", "broker")

    assert faults(tmp_path, "") == ["ODDSD_MQTT_HOTS: no such setting; did you mean mqtt_host?"]


def test_a_file_that_is_not_toml_is_told_with_its_place(tmp_path):
    """The line number is what a person needs."""
    assert "line 1" in faults(tmp_path, "host_id = = 3")[0]


def test_environment_wins_over_credentials_over_file(tmp_path, monkeypatch):
    """Secrets belong in credentials; a person at the shell may still override."""
    file = tmp_path / "oddsd.toml"
    file.write_text('groq_api_key = "file"\nmqtt_password = "file"\nhost_id = "file"\n')
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "groq_api_key").write_text("credential\n")
    (credentials / "mqtt_password").write_text("credential")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    monkeypatch.setenv("GROQ_API_KEY", "environment")

    settings = load_settings(file)

    assert settings.groq_api_key.get_secret_value() == "environment"
    assert settings.mqtt_password.get_secret_value() == "credential"
    assert settings.host_id == "file"


def test_names_of_the_first_requirements_keep_working(tmp_path, monkeypatch):
    """People already have these in their environments."""
    monkeypatch.setenv("AI_MODEL", "openai/gpt-oss-120b")
    monkeypatch.setenv("AI_ANALYSIS_ENABLED", "false")
    monkeypatch.setenv("DATABASE_URL", "postgresql://cloud/odds")
    monkeypatch.setenv("TARGET_CLOSE_WINDOW_DAYS", "3")
    monkeypatch.setenv("PROCESSING_EXPERIMENTS", "coin, market_prior")

    settings = load_settings()

    assert settings.ai_model == "openai/gpt-oss-120b"
    assert settings.ai_analysis_enabled is False
    assert settings.target_close_window_days == 3
    assert settings.processing_experiments == ("coin", "market_prior")
    assert settings.database_url.get_secret_value() == "postgresql://cloud/odds"


def test_secrets_are_not_shown(monkeypatch):
    """A settings object may end up in a log."""
    monkeypatch.setenv("GROQ_API_KEY", "canary-7f3a")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:canary-7f3a@h/d")

    settings = load_settings()

    assert "canary-7f3a" not in repr(settings)
    assert "canary-7f3a" in "".join(settings.secrets())


def test_defaults_alone_are_a_good_configuration():
    """A newcomer starts without a file."""
    settings = load_settings(known_jobs=JOBS)

    assert settings.database_url is None
    assert settings.venues == ("polymarket", "kalshi")


def test_a_promised_credential_that_did_not_come_is_named_once(monkeypatch, tmp_path):
    """An old systemd ignores LoadCredential= without a word, and a missing file arrives as a blank: never run without."""
    (tmp_path / "database_url").write_text("\n")
    (tmp_path / "groq_api_key").write_text("gsk-there")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("ODDSD_CREDENTIALS_EXPECTED", "groq_api_key,database_url,mqtt_password")

    with pytest.raises(ConfigError) as caught:
        load_settings()

    assert [fault.split(":")[0] for fault in caught.value.faults] == [
        "credential database_url",
        "credential mqtt_password",
    ]


def test_an_experiments_table_and_models_nobody_configured(tmp_path):
    """A revision and a pin by name; a model that would never be asked is a fault, in words."""
    file = tmp_path / "oddsd.toml"
    file.write_text('[experiments.single_model]\nrevision = "2"\npinned = true\n')
    one = load_settings(file).experiments["single_model"]

    assert (one.revision, one.pinned) == ("2", True)
    file.write_text('predict_models = ["openai/gpt-oss-200b"]\n')
    with pytest.raises(ConfigError, match="gpt-oss-200b is neither ai_model nor one of ai_fallback_models"):
        load_settings(file)
