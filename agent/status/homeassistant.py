"""How Home Assistant is told about this house: one retained discovery message for one device. Pure.

Law: the rules of Home Assistant's device schema (checked against core 2026.2): nothing unknown at the root or in
`device`; availability and topics may be inherited, qos not; a component reduced to its platform removes the entity.
Every value is read from the flat `state`, whose unknown values come out as Jinja's None, which means unknown there.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from agent.status.contract import Figures, Report

EXPIRE_S = 180  # three intervals of `state`; each message re-arms it, which is why `state` is not retained
_DIAGNOSTIC = "diagnostic"

Component = dict[str, Any]


def _measured(unit: str | None = None, device_class: str | None = None, **more: Any) -> Component:
    """What a number's entity says about itself."""
    told = {"unit_of_measurement": unit, "device_class": device_class, "state_class": "measurement"}
    return {name: value for name, value in told.items() if value is not None} | more


_SERVICE: Component = {"entity_category": _DIAGNOSTIC}  # a figure about the daemon, not about the markets
_RARE: Component = {**_SERVICE, "enabled_by_default": False}
_MOMENT: Component = {**_SERVICE, "device_class": "timestamp"}

# key, name, what else Home Assistant is told; the value is the figure of that name unless a template says otherwise.
_SENSORS: tuple[tuple[str, str, Component], ...] = (
    ("level", "Level", {"device_class": "enum", "options": ["ok", "degraded", "critical"]}),
    ("top_insight", "Top insight", {"icon": "mdi:lightbulb-on-outline"}),
    ("insights_today", "Insights today", _measured(icon="mdi:lightbulb-outline")),
    ("markets_tracked", "Markets tracked", _measured(icon="mdi:chart-line")),
    ("predictions_active", "Active predictions", _measured(icon="mdi:crystal-ball")),
    ("arbitrage_active", "Arbitrage edges", _measured(icon="mdi:scale-balance")),
    ("llm_left_usd", "Model budget left", {"unit_of_measurement": "USD", "suggested_display_precision": 3}),
    ("record_seq", "Record head", {**_SERVICE, "icon": "mdi:link-variant"}),
    ("pending_rows", "Pending rows", _measured("rows", **_SERVICE)),
    ("oldest_pending_age", "Oldest pending", _measured("s", "duration", **_SERVICE)),
    ("last_tick", "Last tick", _MOMENT),
    ("last_sync", "Last sync", _MOMENT),
    ("rows_sent_total", "Rows sent", {**_SERVICE, "unit_of_measurement": "rows", "state_class": "total_increasing"}),
    ("batches_held", "Batches set aside", _measured(**_SERVICE)),
    ("dead_letters", "Dead letters", _measured(**_SERVICE)),
    ("buffer_size", "Buffer size", _measured("MB", "data_size", **_SERVICE)),
    ("disk_free", "Disk free", _measured("MB", "data_size", **_RARE)),
    ("clock_skew", "Clock skew", _measured("ms", "duration", **_RARE)),
)
_BINARIES: tuple[tuple[str, str, Component], ...] = (
    ("problem", "Problem", {**_SERVICE, "device_class": "problem"}),
    ("cloud_connected", "Cloud", {**_SERVICE, "device_class": "connectivity"}),
    ("arbitrage_present", "Arbitrage", {"icon": "mdi:scale-balance"}),
    ("paused", "Paused", _SERVICE),
)
_BUTTONS: Mapping[str, str] = {"collect_now": "Collect now", "pause": "Pause", "resume": "Resume"}


def discovery_topic(prefix: str, host_id: str) -> str:
    """Where the device is announced."""
    return f"{prefix}/device/oddsd_{host_id}/config"


def components(report: Report, topic: str, commands: Collection[str]) -> dict[str, Component]:
    """Every entity by its key.

    Args:
        topic: the root of the host's tree.
        commands: the verbs somebody allowed; each gets a button.
    """
    figures = report.figures
    found = {key: _sensor(key, name, more) for key, name, more in _SENSORS}
    found |= {key: _binary(key, name, more) for key, name, more in _BINARIES}
    for venue in figures.last_collect:
        value = f"value_json.last_collect[{_quoted(venue)}]"
        found[f"last_collect_{venue}"] = _sensor(f"last_collect_{venue}", f"Last collect {venue}", _MOMENT, value)
    found |= _watched(figures)
    found |= {
        verb: {"p": "button", "name": _BUTTONS[verb], "command_topic": f"{topic}/request/{verb}", "qos": 1,
               "entity_category": "config"}
        for verb in sorted(commands) if verb in _BUTTONS
    }  # fmt: skip
    for component in found.values():
        if component["p"] != "button":
            component |= {"state_topic": f"{topic}/state", "expire_after": EXPIRE_S, "qos": 1}
    found["connection"] = _connection(topic)
    for key, component in found.items():
        component["unique_id"] = f"oddsd_{report.host_id}_{key}"
    return found


def payload(report: Report, topic: str, entities: Mapping[str, Component], gone: Mapping[str, str]) -> bytes:
    """The discovery message.

    Args:
        gone: entities that were announced once and are no more, with their platform.
    """
    device = {
        "identifiers": [f"oddsd_{report.host_id}"],
        "name": f"oddsd {report.host_id}",
        "manufacturer": "oddsd",
        "model": "prediction market daemon",
        "sw_version": report.version,
    }
    return msgspec.json.encode(
        {
            "device": device,
            "origin": {"name": "oddsd", "sw_version": report.version},
            "availability_topic": f"{topic}/availability",
            "components": {**entities, **{key: {"p": platform} for key, platform in gone.items()}},
        }
    )


def announced(message: bytes) -> dict[str, str]:
    """The entities of an earlier message with their platforms; none where it is not one of ours."""
    try:
        told = msgspec.json.decode(message, type=_Announcement)
    except msgspec.DecodeError:
        return {}
    return {key: one.p for key, one in told.components.items()}


class _Platform(msgspec.Struct):
    p: str


class _Announcement(msgspec.Struct):
    components: dict[str, _Platform]


def _sensor(key: str, name: str, more: Component, value: str | None = None) -> Component:
    return {"p": "sensor", "name": name, "value_template": f"{{{{ {value or f'value_json.{key}'} }}}}", **more}


def _binary(key: str, name: str, more: Component) -> Component:
    known = f"{{true: 'ON', false: 'OFF'}}.get(value_json.{key})"
    return {"p": "binary_sensor", "name": name, "value_template": f"{{{{ {known} }}}}", **more}


def _watched(figures: Figures) -> dict[str, Component]:
    """One sensor for each market of the watch list: its probability in [0, 1]."""
    more = _measured(suggested_display_precision=3, icon="mdi:percent-outline")
    found = dict[str, Component]()
    for market_key, market in figures.watched.items():
        key = "watch_" + re.sub(r"[^a-z0-9]+", "_", market_key.lower()).strip("_")
        value = f"(value_json.watched[{_quoted(market_key)}] | default({{}})).probability"
        found[key] = _sensor(key, market.title, more, value)
    return found


def _connection(topic: str) -> Component:
    """Shows offline as a state and not as unavailable: it has no availability of its own."""
    return {
        "p": "binary_sensor",
        "name": "Connection",
        "device_class": "connectivity",
        "entity_category": _DIAGNOSTIC,
        "state_topic": f"{topic}/availability",
        "payload_on": "online",
        "payload_off": "offline",
        "availability": [],
        "qos": 1,
    }


def _quoted(text: str) -> str:
    """A string of a template; what could end it is left out, for market keys come from strangers."""
    return "'" + re.sub(r"[^A-Za-z0-9:._-]", "", text) + "'"
