"""Where requests go, and who bills them."""

import pytest

from agent.llm.options import GatewayOptions


@pytest.mark.parametrize(
    ("base_url", "prefix", "endpoint"),
    [
        ("https://api.groq.com", "/openai/v1/", ("https://api.groq.com", "/openai/v1/")),
        ("https://api.groq.com/openai/v1", "/openai/v1/", ("https://api.groq.com", "/openai/v1/")),
        ("http://jetson:11434/v1", "/openai/v1/", ("http://jetson:11434", "/v1/")),
        ("http://jetson:11434/v1/", "/v1/", ("http://jetson:11434", "/v1/")),
        ("http://jetson:11434", "v1", ("http://jetson:11434", "/v1/")),
        ("http://proxy.lan/groq", "/openai/v1/", ("http://proxy.lan/groq", "/openai/v1/")),
        ("http://proxy.lan/llm/v1", "/openai/v1/", ("http://proxy.lan/llm", "/v1/")),
    ],
)
def test_an_address_is_understood_however_it_is_written(base_url, prefix, endpoint):
    """The address in Ollama's own manual ends in /v1; the SDK would ask /v1/openai/v1/ and find nothing."""
    assert GatewayOptions(base_url=base_url, path_prefix=prefix).endpoint == endpoint


@pytest.mark.parametrize(
    ("base_url", "is_free"),
    [
        ("http://127.0.0.1:11434/v1", True),
        ("http://192.168.1.7:8080/v1", True),
        ("http://[::1]:8080/v1", True),
        ("http://jetson:11434/v1", True),
        ("http://jetson.lan:11434/v1", True),
        ("https://models.example.com/v1", False),
        ("https://8.8.8.8/v1", False),
        ("http://127.0.0.1:9000", False),  # Groq's own path: a stand-in for the real service
        ("https://api.groq.com", False),
    ],
)
def test_only_a_server_in_ones_own_house_is_free(base_url, is_free):
    """A paid service with the same path would make the daily cap blind."""
    assert GatewayOptions(base_url=base_url).is_free is is_free


def test_the_key_does_not_show():
    """Options end up in tracebacks."""
    assert "secret" not in f"{GatewayOptions(api_key='secret')!r} {GatewayOptions(api_key='secret')}"
