"""What the gateway is told at start, and where its requests go. Pure.

Law: every default has its reason beside it; the key never shows.
"""

import ipaddress
from decimal import Decimal
from urllib.parse import urlsplit, urlunsplit

import msgspec

from agent.llm.budget import Purpose

GROQ_URL = "https://api.groq.com"
GROQ_PREFIX = "/openai/v1/"
_HOME_NAMES = (".local", ".lan", ".home.arpa", ".internal", ".localhost")


class GatewayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway is told at start; every default has its reason."""

    api_key: str | None = None  # none: off, and everything else runs
    base_url: str = GROQ_URL
    path_prefix: str = GROQ_PREFIX  # "/v1/" for Ollama and llama.cpp
    models: tuple[str, ...] = ("openai/gpt-oss-20b", "openai/gpt-oss-120b")  # the two with strict schemas
    timeout_s: float = 60.0  # of one call; a local server wants 300
    daily_cap_usd: Decimal = Decimal("0.50")  # expected use is about 0.06
    daily_tokens: int = 2_000_000  # all models; expected use is about 350,000
    daily_calls: int = 900  # a model; the free plan ends at 1,000 and counts refused attempts too
    # Forecasts are the record, so most of it; what the others leave, the digest still has.
    purpose_shares: dict[str, float] = msgspec.field(
        default_factory=lambda: {
            Purpose.FORECAST: 0.55,
            Purpose.ANALYSIS: 0.30,
            Purpose.DIGEST: 0.10,
            Purpose.MATCHING: 0.05,
        }
    )
    enabled: bool = True
    # The free plan's, until headers say otherwise.
    requests_per_minute: float = 30.0
    tokens_per_minute: float = 8_000.0
    max_parked_s: float = 30.0  # a longer wait is another model's chance, or the next run's

    @property
    def endpoint(self) -> tuple[str, str]:
        """Where requests go: (address without a path of ours, path prefix with a slash at both ends).

        The address Ollama's own manual gives ends in /v1, which is a prefix and not an address: the official SDK
        would ask /v1/openai/v1/ and find nothing.
        """
        parts = urlsplit(self.base_url)
        stem = parts.path.rstrip("/").removesuffix(GROQ_PREFIX.rstrip("/"))
        if stem.endswith("/v1"):
            return urlunsplit((parts.scheme, parts.netloc, stem.removesuffix("/v1"), "", "")), "/v1/"
        prefix = f"/{self.path_prefix.strip('/')}/".replace("//", "/")
        return urlunsplit((parts.scheme, parts.netloc, stem, "", "")), prefix

    @property
    def is_local(self) -> bool:
        """Another server than Groq: refuses parameters only Groq knows, and may want no key."""
        return self.endpoint[1] != GROQ_PREFIX

    @property
    def is_free(self) -> bool:
        """A server in one's own house bills nobody; one elsewhere is priced, or the cap would be blind to it."""
        return self.is_local and _is_at_home(urlsplit(self.base_url).hostname or "")

    def __repr__(self) -> str:
        """Without the key."""
        return f"GatewayOptions(base_url={self.base_url!r}, models={self.models!r}, key={self.api_key is not None})"


def _is_at_home(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_HOME_NAMES)
    return address.is_loopback or address.is_private
