"""Passwords: argon2id in threads, a few at a time, and a check of the same length for those who have none.

Law: a hash costs 40 ms and 19 MiB on purpose, so it never runs on the event loop and never more than two at once;
whoever is behind those waits a moment and is then told to come again. Parameters: OWASP's minimum for argon2id.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from cloudapi.errors import Invalid, Unavailable

MIN_LENGTH = 12  # length is what helps; no rules of composition (NIST 800-63B)
MAX_LENGTH = 128  # beyond it a password is a way to make us work
N_THREADS = 2
MAX_WAITING = 50  # about a second of work; more is an attack
RETRY_AFTER_S = 2

T = TypeVar("T")


class Passwords:
    """Hashes and checks in a pool of its own."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._threads = ThreadPoolExecutor(N_THREADS, thread_name_prefix="argon2")
        self._n_waiting = 0
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """What to store."""
        return await self._run(self._hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether this is the password; takes as long where there is no account, so nobody learns which exist."""
        return await self._run(self._verify, stored, password)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        if self._n_waiting >= MAX_WAITING:
            raise Unavailable("Too many people are logging in at once.", retry_after_s=RETRY_AFTER_S)
        self._n_waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._n_waiting -= 1

    def _hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def _verify(self, stored: str | None, password: str) -> bool:
        if self._nobodys is None:
            self._nobodys = self._hasher.hash("nobody has this password")
        try:
            return self._hasher.verify(stored or self._nobodys, password) and stored is not None
        except (VerifyMismatchError, InvalidHashError):
            return False


def check_strength(password: str, email: str, *, field: str = "password") -> None:
    """Refuse what is guessed first. Raises: Invalid, with a pointer to the field it came in."""
    faults = []
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        faults.append(f"use {MIN_LENGTH} to {MAX_LENGTH} characters")
    if len(set(password)) < 5:
        faults.append("use more different characters")
    name = email.partition("@")[0]
    if len(name) >= 4 and name in password.lower():
        faults.append("it contains your e-mail name")
    if faults:
        errors = [{"pointer": f"/body/{field}", "detail": fault} for fault in faults]
        raise Invalid("This password is too weak.", errors=errors)
