"""docs/faults.md says where each row of the fault list is proved, and is right."""

import re
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROW = re.compile(r"^\| (\d+)(?:-(\d+))? \|[^|]*\| (.*) \|$", re.MULTILINE)


def test_every_row_of_the_list_stands_there_once_and_names_tests_that_exist():
    """A row nobody proves must say why."""
    rows = ROW.findall((ROOT / "docs" / "faults.md").read_text())
    numbers = [n for first, last, _ in rows for n in range(int(first), int(last or first) + 1)]

    assert numbers == list(range(1, 55))
    for first, _, where in rows:
        ours = re.findall(r"`(test_\w+\.py)`", where)
        for name in ours:
            assert re.search(rf"mark\.fault\((?:\d+, )*{first}[,)]", (HERE / name).read_text()), (
                f"row {first}: {name} does not stage it"
            )
        for path in re.findall(r"`(tests/[\w/.]+)`", where):
            assert (ROOT / path).exists(), path
        assert ours or "elsewhere" in where or "not staged" in where, f"row {first}"
