"""The official Groq SDK, held by the two ends that matter: one call in, an answer or a fault out.

Law: one HTTP request per call (`max_retries=0`: retries are the gateway's, each with a reservation of its own);
nothing of the SDK's types leaves this file; an answer is not trusted to be one (a 200 may carry HTML). The module is
imported on the first call only: the SDK takes half a second and thirty megabytes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeGuard

import groq
import httpx
from groq.types.chat import ChatCompletion

from agent.llm.calls import Call, RawReply, Usage
from agent.llm.faults import CallFailed, Fault, FaultKind, fault_of

SDK_PREFIX = "/openai/v1/"  # what the SDK posts to, whatever its base_url


class GroqWire:
    """One client over one connection pool. Implements `agent.llm.calls.Wire`."""

    def __init__(self, *, api_key: str, base_url: str, path_prefix: str, timeout_s: float) -> None:
        async def use_prefix(request: httpx.Request) -> None:
            # The SDK fixes the path; Ollama and llama.cpp serve the same protocol under /v1/.
            path = request.url.raw_path.decode("ascii")
            if path_prefix != SDK_PREFIX and path.startswith(SDK_PREFIX):
                request.url = request.url.copy_with(raw_path=(path_prefix + path[len(SDK_PREFIX) :]).encode("ascii"))

        self._client = groq.AsyncGroq(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            timeout=httpx.Timeout(timeout_s, connect=min(10.0, timeout_s)),
            http_client=groq.DefaultAsyncHttpxClient(event_hooks={"request": [use_prefix]}),
        )

    async def send(self, call: Call) -> RawReply:
        """Make one call. Raises: CallFailed with the fault and whether it may have been charged."""
        with _faults_named():
            response = await self._client.chat.completions.with_raw_response.create(**_arguments(call))
            headers = {name.lower(): value for name, value in response.headers.items()}
            return _raw_reply(await response.parse(), headers)

    async def list_models(self) -> bytes:
        """The service's own list of models, as it came. Raises: CallFailed."""
        with _faults_named():
            response = await self._client.models.with_raw_response.list()
            return await response.read()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()


@contextmanager
def _faults_named() -> Iterator[None]:
    """Each failure of the SDK as a fault of ours: the one place where they are told apart."""
    try:
        yield
    except groq.APIStatusError as exc:
        raise CallFailed(_status_fault(exc)) from exc
    except groq.APITimeoutError as exc:
        raise CallFailed(Fault(kind=FaultKind.TIMEOUT, message="no answer in time", charged=True)) from exc
    except groq.APIConnectionError as exc:
        # A connection that was never made cannot have been billed; one that broke later can.
        sent = not isinstance(exc.__cause__, httpx.ConnectError | httpx.ConnectTimeout)
        message = f"connection failed: {exc.__cause__ or exc}"
        raise CallFailed(Fault(kind=FaultKind.TRANSIENT, message=message, charged=sent)) from exc
    except (groq.GroqError, ValueError) as exc:  # the SDK lets out what decoding a broken body raises
        message = f"the answer cannot be read: {exc}"
        raise CallFailed(Fault(kind=FaultKind.TRANSIENT, message=message, charged=True)) from exc


def _arguments(call: Call) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "model": call.model,
        "messages": [{"role": "system", "content": call.system}, {"role": "user", "content": call.user}],
        "response_format": call.response_format,
        "max_completion_tokens": call.max_completion_tokens,
        "temperature": call.temperature,
    }
    if call.effort is not None:
        # Reasoning is billed whether shown or not; hidden, it cannot spoil the JSON.
        arguments |= {"reasoning_effort": call.effort, "include_reasoning": False}
    return arguments


def _status_fault(exc: groq.APIStatusError) -> Fault:
    headers = {name.lower(): value for name, value in exc.response.headers.items()}
    return fault_of(exc.status_code, exc.body, headers)


def _raw_reply(completion: object, headers: Mapping[str, str]) -> RawReply:
    """Only what is needed, each piece checked: the SDK does not validate answers."""
    if not isinstance(completion, ChatCompletion):
        # A proxy's page: the SDK hands over the plain text.
        message = f"200 without JSON: {str(completion)[:80]!r}"
        raise CallFailed(Fault(kind=FaultKind.TRANSIENT, message=message, charged=True))
    choices: Any = completion.choices
    first = choices[0] if isinstance(choices, list) and choices else None
    content = getattr(getattr(first, "message", None), "content", None)
    if not isinstance(content, str):
        message = "an answer without text"
        raise CallFailed(Fault(kind=FaultKind.BAD_JSON, message=message, charged=True))
    return RawReply(
        text=content,
        finish_reason=str(getattr(first, "finish_reason", None)),
        usage=_usage(completion.usage),
        headers=headers,
    )


def _usage(usage: object) -> Usage | None:
    """Token counts, or None where the service gave none that make sense."""
    prompt, completion = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    if not _is_count(prompt) or not _is_count(completion):
        return None
    cached = getattr(getattr(usage, "prompt_tokens_details", None), "cached_tokens", None)
    return Usage(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached if _is_count(cached) else 0)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
