"""A package index as pip asks one: a folder of folders, served; it remembers what was asked for."""

import contextlib
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# What is not there: the project, and what only exists as source. The archive of the control machine brings both.
CARRIED = ("oddsd-", "sdnotify-")


class Index(ThreadingHTTPServer):
    """Serves a folder on loopback. `asked` and `served` are names of packages."""

    def __init__(self, folder: Path) -> None:
        self.asked, self.served = set[str](), set[str]()
        super().__init__(("127.0.0.1", 0), partial(_Pages, directory=str(folder)))

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", int(self.server_address[1])


class _Pages(SimpleHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        parts = self.path.strip("/").split("/")
        if parts[0] == "simple" and len(parts) > 1:
            (self.server.served if parts[-1].endswith(".whl") else self.server.asked).add(parts[1])
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        """Nothing: what counts is remembered."""


@contextlib.contextmanager
def package_index(wheelhouse: Path) -> Iterator[Index]:
    """An index with the packages of the wheelhouse's archive for this kind of machine."""
    with tempfile.TemporaryDirectory(prefix="oddsd-index-") as folder:
        (archive,) = sorted(wheelhouse.glob("oddsd-*-cp*.tar"))[:1]
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.name.endswith(".whl") and not member.name.startswith(CARRIED):
                    name = member.name.split("-")[0].replace("_", "-").lower()
                    tar.extract(member, Path(folder) / "simple" / name, filter="data")
        with Index(Path(folder)) as index:
            thread = threading.Thread(target=index.serve_forever, name="package-index")
            thread.start()
            try:
                yield index
            finally:
                index.shutdown()
                thread.join()
