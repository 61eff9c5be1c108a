"""Every question the daemon answers, one line each."""

from typing import Any

from agent.desk.arbitrage import AskArbitrage
from agent.desk.backup import AskBackup
from agent.desk.base import Ask
from agent.desk.benchmark import (
    AskBenchmark,
    AskCheck,
    AskExportRows,
    AskLeaderboard,
    AskReport,
    AskSetBenchmark,
)
from agent.desk.doctor import AskStoreHealth, AskStreamHere, AskWays
from agent.desk.forecasts import AskForecasts
from agent.desk.jobs import AskDeadLetters, AskDrop, AskPause, AskResume
from agent.desk.queue import AskQueue
from agent.desk.record import AskExport, AskHead, AskVerify
from agent.desk.rotate import AskRotate
from agent.desk.runs import AskRun, AskRuns
from agent.desk.spend import AskSpend
from agent.desk.why import AskWhy

QUESTIONS: tuple[type[Ask[Any]], ...] = (
    AskWhy,
    AskSpend,
    AskForecasts,
    AskBenchmark,
    AskSetBenchmark,
    AskCheck,
    AskReport,
    AskLeaderboard,
    AskExportRows,
    AskHead,
    AskVerify,
    AskExport,
    AskQueue,
    AskRotate,
    AskStoreHealth,
    AskStreamHere,
    AskWays,
    AskBackup,
    AskArbitrage,
    AskRuns,
    AskRun,
    AskPause,
    AskResume,
    AskDeadLetters,
    AskDrop,
)
