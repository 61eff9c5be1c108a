"""The broker as the Ansible role sets it up, run for real: who may do what."""

from pathlib import Path

import aiomqtt
import pytest

from agent.doctor import broker as doctor
from agent.doctor.findings import Verdict
from agent.settings import Settings
from agent.status.homeassistant import discovery_topic
from tests.fakes.mosquitto import Mosquitto, needs_mosquitto

jinja2 = pytest.importorskip("jinja2")

ACL = Path(__file__).resolve().parents[3] / "ansible" / "roles" / "oddsd_edge" / "templates" / "broker.acl.j2"
USERS = {"oddsd": "daemon-password", "home": "reader-password"}
ANNOUNCED = b'{"components": {"level": {"p": "sensor"}, "problem": {"p": "binary_sensor"}}}'


def rights(**config: str) -> list[str]:
    """The access list as Ansible writes it."""
    environment = jinja2.Environment(trim_blocks=True, autoescape=False)  # as Ansible sets it
    template = environment.from_string(ACL.read_text())
    said = template.render(
        __oddsd_edge_config=config, oddsd_edge_host_id="home-1", oddsd_edge_mosquitto_readers={"home": ""},
        ansible_managed="Ansible managed",
    )  # fmt: skip
    return said.splitlines()


def client(broker: Mosquitto, user: str) -> aiomqtt.Client:
    """Somebody who has signed in."""
    return aiomqtt.Client(broker.host, broker.port, username=user, password=USERS[user])


@needs_mosquitto
@pytest.mark.parametrize("config", [{}, {"mqtt_discovery": "ha", "mqtt_prefix": "odds"}], ids=["defaults", "its own"])
async def test_the_daemon_may_tell_home_assistant_and_hear_what_it_has_told(config):
    """It takes back what is gone by what it hears of its own announcement, and the doctor looks for it there."""
    prefix = config.get("mqtt_discovery", "homeassistant")
    async with Mosquitto(users=USERS, rights=rights(**config)) as broker:
        async with client(broker, "oddsd") as daemon:
            await daemon.publish(discovery_topic(prefix, "home-1"), ANNOUNCED, qos=1, retain=True)
        settings = Settings(
            host_id="home-1", mqtt_host=broker.host, mqtt_port=broker.port, mqtt_username="oddsd",
            mqtt_password=USERS["oddsd"], **config,
        )  # fmt: skip
        found = {one.id: one for one in await doctor.checks(settings)}

    assert found["D22"].verdict is Verdict.GOOD
    assert found["D23"].verdict is Verdict.GOOD, found["D23"]
    assert found["D23"].text == "2 entities are announced"


@needs_mosquitto
async def test_readers_read_and_write_nothing():
    """A dashboard that was taken over must not speak for the daemon."""
    async with Mosquitto(users=USERS, rights=rights()) as broker, client(broker, "home") as reader:
        await reader.subscribe("oddsd/#", qos=1)
        await reader.publish("oddsd/home-1/availability", b"offline", qos=1, retain=True)
        async with client(broker, "oddsd") as daemon:
            await daemon.publish("oddsd/home-1/availability", b"online", qos=1, retain=True)
        first = await anext(aiter(reader.messages))

    assert first.payload == b"online"
