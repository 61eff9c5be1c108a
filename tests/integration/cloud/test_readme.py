"""What the README and the API's page print to be typed into a shell, typed into a shell."""

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest

from cloudapi.tiers import Tier
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import make_one_of_each

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "a long enough one 7431"
PRINTED = re.compile(r"^ {4}(curl .+)$|`(curl [^`]+)`", re.MULTILINE)
ADDRESSES = re.compile(r"`(?:ADDRESS)?(/v1/[^` ]+)`")  # in the README's own table of what to look at


def commands(page: str) -> list[str]:
    """Every curl command a page prints, in its order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [block or inline for block, inline in PRINTED.findall(text)]


async def typed(command: str, replica: Replica, *, prediction: str = "") -> tuple[int, object]:
    """Run it as a reader would, with his address and key in their places. Returns: the status and the JSON."""
    key = replica.keys[Tier.PRO]
    for printed, ours in (
        ("http://127.0.0.1:8000", replica.url),
        ("ADDRESS", replica.url),
        ("$URL", replica.url),
        ("$KEY", key),
        ("Bearer KEY", f"Bearer {key}"),
        ("/ID/", f"/{prediction}/"),
        ('"email": "..."', '"email": "reader@example.com"'),
        ('"password": "..."', f'"password": "{PASSWORD}"'),
    ):
        command = command.replace(printed, ours)
    process = await asyncio.create_subprocess_shell(
        f"{command} --silent --show-error --max-time 10 --write-out '\n%{{http_code}}'",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, f"{command}: {err.decode()}"
    body, _, status = out.decode().rpartition("\n")
    return int(status), json.loads(body)


@pytest.fixture
async def house(edge: HandEdge, replica: Replica) -> Replica:
    """A service with one of each record."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed (Debian package curl)")
    records = make_one_of_each()
    await edge.hello()
    await edge.send(records)
    await replica.landed(len(records))
    return replica


async def test_the_readmes_curl_commands_work_as_printed(house: Replica) -> None:
    """The first line of ours somebody copies must not be the one that fails."""
    printed = commands("README.md")

    answers = {command: await typed(command, house) for command in printed}

    assert printed
    assert {command: status for command, (status, _) in answers.items()} == dict.fromkeys(printed, 200)
    assert all(answer["data"] for _, answer in answers.values())


async def test_the_readmes_addresses_answer_the_same_way(house: Replica) -> None:
    """They stand below the command and are meant to be put in its place."""
    (stem,) = {command.rpartition("ADDRESS")[0] for command in commands("README.md")}
    paths = ADDRESSES.findall((ROOT / "README.md").read_text(encoding="utf-8"))

    answers = {path: await typed(f"{stem}ADDRESS{path}", house, prediction="prd-1") for path in paths}

    assert {path: status for path, (status, _) in answers.items()} == dict.fromkeys(paths, 200)
    assert {"/v1/predictions", "/v1/predictions/ID/benchmarks", "/v1/arbitrage"} <= set(paths)
    assert all(answer["data"] for _, answer in answers.values())


async def test_the_api_pages_curl_commands_work_in_their_order(house: Replica) -> None:
    """A registration, the login that follows it, and a page of insights."""
    printed = commands("docs/api.md")

    answers = [await typed(command, house) for command in printed]

    assert len(printed) >= 3
    assert [status for status, _ in answers] == [202 if "register" in command else 200 for command in printed]
    assert answers[-1][1]["access_token"]
