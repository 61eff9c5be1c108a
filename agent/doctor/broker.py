"""The checks of the MQTT broker. Each await has a limit; nothing is kept. Secrets are used and never said."""

import asyncio
import secrets

import aiomqtt

from agent.doctor.findings import Finding, failed, good, skipped, unknown
from agent.settings import Settings
from agent.status.broker import tls_context
from agent.status.homeassistant import announced, discovery_topic

_LIMIT_S = 5.0


async def checks(settings: Settings) -> list[Finding]:
    """D22 and D23: sign in, say a retained word, hear it, take it back; and whether Home Assistant was told."""
    names = (("D22", "MQTT"), ("D23", "Home Assistant"))
    if settings.mqtt_host is None:
        return [skipped(id_, name, "no broker is configured") for id_, name in names]
    word, topic = secrets.token_hex(8), f"{settings.mqtt_prefix}/{settings.host_id}/doctor"
    config = discovery_topic(settings.mqtt_discovery, settings.host_id)
    password = None if settings.mqtt_password is None else settings.mqtt_password.get_secret_value()
    try:
        authority = None if settings.mqtt_tls_ca is None else str(settings.mqtt_tls_ca)
        async with aiomqtt.Client(
            settings.mqtt_host, settings.mqtt_port, username=settings.mqtt_username, password=password,
            tls_context=tls_context(authority), timeout=_LIMIT_S,
        ) as client:  # fmt: skip
            await client.subscribe(topic, qos=1)
            await client.subscribe(config, qos=1)
            await client.publish(topic, word.encode(), qos=1, retain=True)
            came_back, told = await _hear(client, topic, word, config)
            await client.publish(topic, b"", qos=1, retain=True)
    except (aiomqtt.MqttError, UnicodeError) as exc:
        fix = "check mqtt_host, mqtt_username and mqtt_password"
        return [failed("D22", "MQTT", str(exc), fix), skipped("D23", "Home Assistant", "see the line above")]
    rights = f"let this user read and write {settings.mqtt_prefix}/{settings.host_id}/# at the broker"
    first = (
        good("D22", "MQTT", "a retained word made the round trip")
        if came_back
        else failed("D22", "MQTT", "a word said there does not come back", rights)
    )
    return [first, _home(settings, told)]


async def _hear(client: aiomqtt.Client, topic: str, word: str, config: str) -> tuple[bool, int]:
    """Whether the word came back, and how many entities are announced."""
    told = 0
    try:
        async with asyncio.timeout(_LIMIT_S):
            async for message in client.messages:
                body = message.payload
                if message.topic.value == config and isinstance(body, bytes):
                    told = len(announced(body))
                if message.topic.value == topic and body == word.encode():
                    return True, told
    except TimeoutError:
        pass
    return False, told


def _home(settings: Settings, told: int) -> Finding:
    id_, name = "D23", "Home Assistant"
    if not settings.mqtt_discovery:
        return skipped(id_, name, "it is told nothing: mqtt_discovery is empty")
    if not told:
        return unknown(id_, name, "no announcement is retained at the broker", "start the daemon; it announces itself")
    return good(id_, name, f"{told} entities are announced")
