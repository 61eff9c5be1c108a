"""What an operator may ask of an edge, and who answers: the daemon that holds the file, or the file while it is down.

Law: a question is one typed request with one typed answer; the daemon serves it as a verb of its control socket, a
command reads the file itself under the lock when nobody listens. Asking leaves nothing behind: where there is no
database yet, an empty one in a temporary folder answers, unless the answer is to stand.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from agent.core.instants import Clock
from agent.errors import ControlRefused, NotRunning
from agent.settings import Settings
from agent.status.control import DEADLINE_S, call
from agent.store.db import Store, is_there
from agent.store.lock import data_dir_lock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Desk:
    """What an answer may look at."""

    store: Store
    settings: Settings
    now: datetime


class Ask(msgspec.Struct, Generic[T], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all questions; the fields of a subclass are what the caller may say."""

    verb: ClassVar[str]
    answer_type: ClassVar[Any]  # T again, where msgspec can read it
    deadline_s: ClassVar[float | None] = DEADLINE_S  # None: as long as it takes
    writes: ClassVar[bool] = False  # the answer changes what is stored

    async def answer(self, desk: Desk) -> T:
        """Look it up, or do it. Raises: OddsdError."""
        raise NotImplementedError


async def ask(settings: Settings, question: Ask[T], *, clock: Clock) -> T:
    """The answer, from whoever holds the file.

    Raises: ControlError where the daemon runs and does not answer, AlreadyRunning where a job without the daemon
        holds the file, StoreError, and whatever the question raises.
    """
    try:
        return await ask_daemon(settings, question)
    except NotRunning:
        return await _read(settings, question, clock)


async def ask_daemon(settings: Settings, question: Ask[T]) -> T:
    """The daemon's answer and nobody else's. Raises: ControlError, NotRunning among them; what the question does."""
    told = await call(settings.control_socket, question.verb, question.deadline_s, **msgspec.to_builtins(question))
    answer: T = msgspec.convert(told, question.answer_type)
    return answer


async def _read(settings: Settings, question: Ask[T], clock: Clock) -> T:
    if not question.writes and not is_there(settings.database_path):
        with TemporaryDirectory(prefix="oddsd-") as empty:
            async with await Store.open(Path(empty) / "oddsd.db", clock=clock) as store:
                return await question.answer(Desk(store, settings, clock()))
    with data_dir_lock(settings.data_dir):
        async with await Store.open(settings.database_path, clock=clock) as store:
            return await question.answer(Desk(store, settings, clock()))


def verbs(
    questions: tuple[type[Ask[Any]], ...], store: Store, settings: Settings, clock: Clock
) -> Mapping[str, Callable[[dict[str, Any]], Awaitable[Any]]]:
    """The questions as verbs of the control socket."""

    def serve(kind: type[Ask[Any]]) -> Callable[[dict[str, Any]], Awaitable[Any]]:
        async def verb(request: dict[str, Any]) -> Any:
            try:
                question = msgspec.convert(request, kind)
            except msgspec.ValidationError as exc:
                raise ControlRefused(f"{kind.verb}: {exc}", advice="use a command of the same version") from exc
            return await question.answer(Desk(store, settings, clock()))

        return verb

    return {kind.verb: serve(kind) for kind in questions}
