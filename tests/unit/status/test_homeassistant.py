"""The announcement to Home Assistant, held against the rules of its device schema (facts of core 2026.2)."""

import json
import re

import pytest

from agent.status.homeassistant import announced, components, discovery_topic, payload
from agent.status.report import report
from agent.store.glance import WatchedMarket
from tests.unit.status.house import NOW, make_live, make_state

TREE = "oddsd/home-1"
HOSTILE = "kalshi:'}}{% include 'secrets' %}"
WATCHED = (WatchedMarket(market_key="kalshi:KXFED-26", title="Will the Fed cut?", mid=0.42, seen_at=NOW),)


def told(commands=(), gone=None, **stored) -> dict:
    judged = report(make_state(**stored), make_live(), NOW)
    return json.loads(payload(judged, TREE, components(judged, TREE, commands), gone or {}))


def test_nothing_unknown_stands_at_the_root_or_in_the_device():
    """One unknown key there and Home Assistant drops the whole message."""
    message = told()

    assert message.keys() == {"device", "origin", "availability_topic", "components"}
    assert message["device"].keys() <= {"identifiers", "name", "manufacturer", "model", "sw_version"}
    assert message["origin"]["name"] == "oddsd"


def test_every_entity_has_platform_and_a_unique_id_of_this_host():
    """Without them it is refused, or taken for another house's."""
    ids = [(key, entity["p"], entity["unique_id"]) for key, entity in told(["pause"])["components"].items()]

    assert all(platform in {"sensor", "binary_sensor", "button"} for _, platform, _ in ids)
    assert all(unique == f"oddsd_home-1_{key}" for key, _, unique in ids)
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", discovery_topic("homeassistant", "home-1").split("/")[2])


def test_the_issues_entities_are_all_there():
    """What the operator was promised to see."""
    wanted = {
        "level", "problem", "cloud_connected", "pending_rows", "last_collect_polymarket", "last_collect_kalshi",
        "markets_tracked", "insights_today", "llm_left_usd", "top_insight", "arbitrage_present", "predictions_active",
        "record_seq", "connection",
    }  # fmt: skip
    assert wanted <= told()["components"].keys()


def test_sensor_rules_are_kept():
    """No state class with an enum or a timestamp, options only with an enum, a qos for each, an expiry for values."""
    for key, entity in told(watched=WATCHED)["components"].items():
        assert entity["qos"] == 1, key
        if entity.get("device_class") in {"enum", "timestamp"}:
            assert "state_class" not in entity, key
            assert "unit_of_measurement" not in entity, key
        assert ("options" in entity) == (entity.get("device_class") == "enum"), key
        if key != "connection":
            assert entity["expire_after"] == 180, key
            assert entity["state_topic"] == f"{TREE}/state", key
        assert entity.get("state_class") in {None, "measurement", "total_increasing"}, key


def test_offline_is_a_state_of_the_connection_and_not_unavailable():
    """Else the one entity that should say offline says nothing."""
    connection = told()["components"]["connection"]

    assert connection["availability"] == []
    assert (connection["payload_on"], connection["payload_off"]) == ("online", "offline")
    assert "expire_after" not in connection


def test_buttons_are_there_only_for_what_was_allowed():
    """Commands are off by default, and a button that does nothing is worse than none."""
    assert not [one for one in told()["components"].values() if one["p"] == "button"]
    buttons = {key: one for key, one in told(["pause", "health_check"])["components"].items() if one["p"] == "button"}
    assert buttons.keys() == {"pause"}
    assert buttons["pause"]["command_topic"] == f"{TREE}/request/pause"


def test_every_value_template_names_a_figure_that_is_published():
    """A template over a field nobody sends shows unknown for ever."""
    judged = report(make_state(watched=WATCHED), make_live(), NOW)
    fields = set(judged.figures.__struct_fields__)

    for key, entity in components(judged, TREE, ()).items():
        for field in re.findall(r"value_json\.(\w+)", entity.get("value_template", "")):
            assert field in fields, key


def test_watched_markets_are_sensors_with_their_titles():
    """The watch list is what the operator wants on his wall."""
    sensor = told(watched=WATCHED)["components"]["watch_kalshi_kxfed_26"]

    assert sensor["name"] == "Will the Fed cut?"
    assert "value_json.watched['kalshi:KXFED-26']" in sensor["value_template"]


def test_a_market_key_cannot_write_a_template():
    """Keys come from strangers; Home Assistant runs what stands between the braces."""
    hostile = WatchedMarket(market_key=HOSTILE, title="{{ states }}", mid=None, seen_at=None)
    (sensor,) = (one for key, one in told(watched=(hostile,))["components"].items() if key.startswith("watch_"))

    inside = sensor["value_template"].split("['")[1].split("']")[0]
    assert re.fullmatch(r"[A-Za-z0-9:._-]*", inside)


def test_what_is_gone_is_named_by_its_platform_alone():
    """An entity that is merely missing would stay in Home Assistant for ever."""
    message = told(gone={"watch_old": "sensor"})

    assert message["components"]["watch_old"] == {"p": "sensor"}
    assert announced(json.dumps(message).encode())["watch_old"] == "sensor"


@pytest.mark.parametrize("message", [b"", b"{}", b"[]", b"\xff", b'{"components": {"a": 1}}'])
def test_a_message_that_is_not_ours_announced_nothing(message):
    """Anybody may have written to that topic."""
    assert announced(message) == {}
