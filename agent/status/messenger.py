"""Sends one message through apprise, in a process of its own that ends with it.

Law: the library and its hundred plug-ins weigh 36 MB and may hang; here neither stays with the daemon. The address
goes over stdin, never into an argument another user could read, and no answer repeats it.
"""

import asyncio
import contextlib
import sys

import msgspec

_MODULE = "agent.status.messenger"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What to say, and where."""

    url: str
    title: str
    body: str


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """None: taken."""

    why_not: str | None = None


async def send(message: Message, *, within_s: float) -> str | None:
    """Send it; returns why it was not taken, in words that go after "the target"."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", _MODULE,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as exc:  # no memory, no process, no file left
        return f"could not be asked: {exc.strerror}"
    try:
        async with asyncio.timeout(within_s):
            said, _ = await process.communicate(msgspec.json.encode(message))
        return msgspec.json.decode(said, type=_Answer).why_not
    except TimeoutError:
        return f"did not answer within {within_s:g} s"
    except msgspec.DecodeError:
        return f"could not be asked: the messenger ended with {process.returncode}"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def deliver(message: Message) -> str | None:
    """Send it here and now; blocks. Returns why it was not taken."""
    from apprise import Apprise, AppriseAsset

    target = Apprise(asset=AppriseAsset(async_mode=False, app_id="oddsd", app_desc="oddsd", app_url=""))
    if not target.add(message.url):
        return "is no address apprise understands"
    try:
        taken = target.notify(title=message.title, body=message.body)
    except Exception as exc:  # noqa: BLE001 - a plug-in's words may quote the address; its kind is enough
        return f"failed with {type(exc).__name__}"
    return None if taken else "did not take the message"


def main() -> None:
    """Read a message from stdin, answer on stdout."""
    message = msgspec.json.decode(sys.stdin.buffer.read(), type=Message)
    sys.stdout.buffer.write(msgspec.json.encode(_Answer(why_not=deliver(message))))


if __name__ == "__main__":
    main()
