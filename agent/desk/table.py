"""Every question the daemon answers, one line each."""

from typing import Any

from agent.desk.base import Ask
from agent.desk.spend import AskSpend
from agent.desk.why import AskWhy

QUESTIONS: tuple[type[Ask[Any]], ...] = (
    AskWhy,
    AskSpend,
)
