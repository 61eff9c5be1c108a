"""The door out: nothing of ours can be reached through an address a stranger chose. Real sockets, a resolver that lies."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from cloudapi.egress import AddressRefused, Egress, check_url, is_public
from tests.fakes.asgi import serve


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.0.0.1/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://localhost/",
        "https://postgres:5432/",
        "https://user:word@example.com/",
        "https://example.com:22/",
        "https://example.com:5432/",
        "https://example.com/#part",
        "https://exämple.com/",
        "https:///path",
        "ftp://example.com/",
        "https://example.com\n.evil.test/",
        "https://example.com:99999/",
        "https://8.8.8.8/",
    ],
)
def test_an_address_that_may_lead_inside_is_refused_when_typed(url: str) -> None:
    """Bare numbers in any spelling, local names, other ports, credentials: before anything is resolved."""
    with pytest.raises(AddressRefused):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["https://example.com/hook?x=1", "https://a.b.example:8443/", "https://hooks.example.com./x"]
)
def test_an_ordinary_address_is_taken(url: str) -> None:
    """The rules leave what people have."""
    assert check_url(url) == url


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1", "172.16.9.9", "192.168.1.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "::ffff:10.0.0.1",
        "::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "2001:0:a00:1::1", "2001:db8::1", "ff02::1", "nonsense",
    ],
)  # fmt: skip
def test_what_is_not_public_is_known_in_every_spelling(address: str) -> None:
    """Private, link-local, CGNAT, ULA, mapped, tunnelled: the list of the facts, each."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111"])
def test_what_is_public_is_public(address: str) -> None:
    """A guard that refuses everything guards nothing."""
    assert is_public(address)


def resolver(*answers: list[str]) -> tuple[Callable[[str, int], Any], list[str]]:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return resolve, asked


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["127.0.0.1", "1.1.1.1"], ["::ffff:127.0.0.1"], []],
)
async def test_a_name_that_resolves_inside_is_not_connected_to(answers: list[str]) -> None:
    """One private address among public ones is enough to refuse: a resolver may shuffle."""
    resolve, _ = resolver(answers)
    egress = Egress(resolver=resolve)

    with pytest.raises(AddressRefused):
        await egress.post("https://hooks.example.com/", b"{}", {})
    await egress.close()


async def test_the_socket_goes_to_the_answer_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that answers public first and private next is asked once, and the name is not resolved again below."""
    resolve, asked = resolver(["192.0.2.7"], ["127.0.0.1"])
    monkeypatch.setattr("cloudapi.egress.is_public", lambda address: address == "192.0.2.7")
    connected: list[str] = []

    async def connect(self: Any, host: str, *_: Any, **__: Any) -> Any:
        connected.append(host)
        raise OSError("far away")

    monkeypatch.setattr("httpcore._backends.auto.AutoBackend.connect_tcp", connect)
    egress = Egress(resolver=resolve)

    with pytest.raises(OSError, match="far away"):
        await egress.post("https://hooks.example.com/", b"{}", {})
    await egress.close()

    assert asked == ["hooks.example.com"]
    assert connected == ["192.0.2.7"]


async def test_a_redirect_is_not_followed() -> None:
    """A redirect to the metadata address is the oldest way round a guard."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        headers = [(b"location", b"http://169.254.169.254/latest/meta-data")]
        await send({"type": "http.response.start", "status": 302, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async with serve(app) as url:
        egress = Egress(allowed=[url.removeprefix("http://")])
        answered = await egress.post(f"{url}/hook", b"{}", {"content-type": "application/json"})
        await egress.close()

    assert (answered.status, seen) == (302, ["/hook"])


async def test_a_silent_endpoint_ends_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes the connection and says nothing holds up nobody for long."""
    monkeypatch.setattr("cloudapi.egress.ANSWER_S", 0.1)
    monkeypatch.setattr("cloudapi.egress.CONNECT_S", 0.1)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        egress = Egress(allowed=[f"127.0.0.1:{port}"], tls=ssl.create_default_context())
        with pytest.raises(OSError, match="no answer in time"):
            async with asyncio.timeout(5):
                await egress.post(f"http://127.0.0.1:{port}/", b"{}", {})
        await egress.close()


@pytest.mark.parametrize("host", ["a..example.com", f"{'a' * 64}.example.com"])
async def test_a_name_no_resolver_takes_ends_in_words(host: str) -> None:
    """Whoever asked must hear of it as of any other failure: what is not mapped ends the attempt without a verdict."""
    egress = Egress()

    with pytest.raises(OSError, match="not to be reached"):
        await egress.post(f"https://{host}/hook", b"{}", {})
    await egress.close()
