"""The tree is the architecture: who may import whom is held here, by reading every import."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OF_THE_WORLD = {"asyncio", "random", "secrets", "os", "time", "socket", "sqlite3", "subprocess", "pathlib", "logging", "structlog", "httpx", "aiosqlite", "asyncpg", "groq"}  # fmt: skip


def imports(path: Path) -> set[str]:
    """Every module a file names in an import, wherever in the file it stands."""
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def reach(path: Path, *packages: str) -> set[str]:
    return {name for name in imports(path) if name.split(".")[0] in packages}


@pytest.mark.parametrize(
    ("folder", "forbidden"), [("agent", ("cloudapi", "tests")), ("cloudapi", ("agent", "tests")), ("sync", ("agent", "cloudapi", "tests"))]
)  # fmt: skip
def test_packages_keep_their_walls(folder, forbidden):
    """Edge and cloud are deployed apart; what both know lives in sync."""
    crossed = {str(path.relative_to(ROOT)): reach(path, *forbidden) for path in files(folder)}

    assert not {path: names for path, names in crossed.items() if names}


@pytest.mark.parametrize("path", files("agent/core"), ids=lambda path: path.name)
def test_core_is_pure(path):
    """Decisions that touch nothing can be tested by table and replayed."""
    names = imports(path)

    assert not {name for name in names if name.split(".")[0] in OF_THE_WORLD}
    assert not {name for name in names if name.startswith("agent.") and not name.startswith("agent.core")}
    tree = ast.parse(path.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    calls = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not {"now", "utcnow", "today"} & calls


@pytest.mark.parametrize("room", ["venues", "store", "llm", "status", "experiments", "jobs"])
def test_only_the_wiring_sees_everything(room):
    """Rooms do not import the process that wires them; only a job may use every other room."""
    allowed = {
        "venues": {"core", "errors", "venues"},
        "store": {"core", "errors", "store", "venues"},
        "llm": {"core", "errors", "store", "llm"},
        "status": {"core", "errors", "store", "status", "jobs"},
        "experiments": {"core", "errors", "llm", "experiments"},
        "jobs": {"core", "errors", "store", "venues", "llm", "experiments", "jobs"},
    }[room]
    crossed = {
        str(path.relative_to(ROOT)): names
        for path in files(f"agent/{room}")
        if (
            names := {
                name for name in reach(path, "agent") if name.split(".")[1:2] and name.split(".")[1] not in allowed
            }
        )
    }

    assert not crossed


def test_venues_do_not_know_each_other():
    """A third exchange must not have to read the first two."""
    folder = ROOT / "agent/venues"
    assert not {name for path in folder.glob("kalshi*.py") for name in imports(path) if "polymarket" in name}
    assert not {name for path in folder.glob("polymarket*.py") for name in imports(path) if "kalshi" in name}
