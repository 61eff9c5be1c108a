"""A demonstration that fails says why, in the summary too, and owes nothing to the shell it is started from."""

import asyncio
import io
import json

import httpx
import pytest
from rich.console import Console

from agent.errors import ControlTimeout
from agent.settings import Settings
from cloudapi.settings import CloudSettings
from tests.demo import __main__ as demo
from tests.demo import story
from tests.demo.processes import clean_environment
from tests.demo.story import Options
from tests.environment import PLAIN_NAMES


@pytest.mark.parametrize(
    "trouble", [ControlTimeout("status: no answer within 5 s"), httpx.ConnectError("connection refused")],
    ids=["the daemon", "the service"],
)  # fmt: skip
async def test_whatever_stops_the_demo_stands_among_its_problems(tmp_path, monkeypatch, trouble):
    """A summary without problems beside an exit code of 1 sends whoever reads it looking in the wrong place."""

    async def tell(_):
        raise trouble

    monkeypatch.setattr(demo, "tell", tell)
    code = await demo._demonstrate(Options(work_dir=tmp_path / "demo"), Console(file=io.StringIO()))

    assert code == 1
    assert json.loads((tmp_path / "demo" / "summary.json").read_text())["problems"] == [str(trouble)]


async def test_a_queue_that_does_not_drain_is_told_with_what_waits(tmp_path, monkeypatch):
    """`TimeoutError` alone names neither the stage nor the rows."""

    async def call(*_, **__):
        await asyncio.sleep(0)
        return {"figures": {"pending_rows": 4711}}

    monkeypatch.setattr(story, "call", call)
    monkeypatch.setattr(story, "DRAIN_WITHIN_S", 0.1)
    async with story.opened(Options(work_dir=tmp_path / "demo"), Console(file=io.StringIO())) as told:
        with pytest.raises(RuntimeError, match="4,711 rows still wait"):
            await story._drain(told)


@pytest.mark.parametrize("name", ["STRIPE_SECRET_KEY", "SMTP_URL", "SENTRY_DSN", "PROCESSING_EXPERIMENTS", "port"])
def test_no_setting_of_the_shell_reaches_a_demonstration(monkeypatch, name):
    """With a developer's own keys in it, it would send real mails; settings are found in small letters too."""
    monkeypatch.setenv(name, "of the developer")
    monkeypatch.setenv("ODDSD_HOST_ID", "developer")

    assert not {name, "ODDSD_HOST_ID"} & clean_environment().keys()


def test_every_plain_name_of_a_setting_is_known():
    """Found anew from both settings: what a service answers to without our prefix."""
    fields = {**Settings.model_fields, **CloudSettings.model_fields}
    aliases = [field.validation_alias for field in fields.values() if field.validation_alias is not None]

    assert {"DATABASE_URL", "JWT_SECRET", "GROQ_API_KEY"} <= PLAIN_NAMES
    assert {str(name) for alias in aliases for name in alias.choices if str(name).isupper()} <= PLAIN_NAMES | {
        str(name) for alias in aliases for name in alias.choices if str(name).startswith("ODDSD_")
    }
