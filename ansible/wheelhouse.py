"""Builds the wheelhouse: one archive per Python and architecture with everything an edge installs, pinned by hash.

Law: what comes from the registry is checked against `.locks/edge.txt`; what is built here (the project, and packages
that only exist as source) is pinned by the hash of the wheel that was built. The archive holds `requirements.txt`
with exactly those hashes, so a host installs it offline with `pip install --no-index --require-hashes`, and nothing
else. Made again, an archive has the same bytes unless something in it changed.

    python ansible/wheelhouse.py [--into DIR] [--python 3.11] [--arch x86_64] [--arch aarch64] [--registry] [--uv]
"""

import argparse
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[1]
# The oldest C libraries among the hosts we install on: Debian 12, Ubuntu 20.04 (JetPack 5) and newer.
PLATFORMS = ("manylinux_2_31", "manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux1")
ARCHES = ("x86_64", "aarch64")


def main() -> None:
    """Build what the arguments ask for and print the archives."""
    args = _arguments()
    args.into.mkdir(parents=True, exist_ok=True)
    version = tomllib.loads((args.source / "pyproject.toml").read_text())["project"]["version"]
    with tempfile.TemporaryDirectory(prefix="wheelhouse-") as folder:
        own, lock = _own_wheel(args.source, Path(folder)), args.source / ".locks" / "edge.txt"
        built = list[Path]()
        for python in args.python:
            for arch in args.arch:
                wheels, built = _wheels(lock, python, arch, Path(folder) / f"{python}-{arch}")
                archive = args.into / f"oddsd-{version}-cp{python.replace('.', '')}-{arch}.tar"
                _pack(archive, [own, *wheels], requirements="".join(map(_pin, [own, *wheels])))
                print(archive)
        if args.registry:
            archive = args.into / f"oddsd-{version}-registry.tar"
            _pack(archive, [own, *built], requirements=_asked_of_the_index(lock.read_text(), [own, *built]))
            print(archive)
        for arch in args.arch if args.uv else ():
            print(_uv(args.source / ".locks" / "uv.txt", arch, args.into, Path(folder) / f"uv-{arch}"))
    (args.into / "VERSION").write_text(f"{version}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build the wheelhouse an edge is installed from.")
    parser.add_argument("--into", type=Path, default=ROOT / ".cache" / "wheelhouse", help="folder of the archives")
    parser.add_argument("--source", type=Path, default=ROOT, help="the checkout to build")
    parser.add_argument("--python", action="append", help="version on the hosts, such as 3.11; may be repeated")
    parser.add_argument("--arch", action="append", choices=ARCHES, help="of the hosts; may be repeated")
    parser.add_argument("--registry", action="store_true", help="also the small archive for hosts that reach one")
    parser.add_argument("--uv", action="store_true", help="also the program that gives hosts a Python of their own")
    args = parser.parse_args()
    args.python = args.python or ["3.11"]
    args.arch = args.arch or ["x86_64"]
    return args


def _own_wheel(source: Path, folder: Path) -> Path:
    """The project itself, built with the locked build tools of this environment."""
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("oddsd-*.whl")
    return wheel


def _wheels(lock: Path, python: str, arch: str, folder: Path) -> tuple[list[Path], list[Path]]:
    """Everything the lock names, for that kind of host; and those of them that were built here."""
    folder.mkdir()
    chosen = folder / "chosen.txt"
    chosen.write_text(locked_for(lock.read_text(), python))
    tag = "cp" + python.replace(".", "")
    _pip("download", "--no-deps", "--require-hashes", f"--python-version={python}", *_platforms(arch),
         "--implementation=cp", f"--abi={tag}", "--abi=abi3", "--abi=none",
         "--dest", str(folder), "-r", str(chosen))  # fmt: skip
    asked = set(folder.glob("*.whl"))
    for source in [*folder.glob("*.tar.gz"), *folder.glob("*.zip")]:
        _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
        source.unlink()
    wheels = sorted(folder.glob("*.whl"))
    foreign = [wheel.name for wheel in wheels if not _fits(wheel.name, arch)]
    if foreign:
        raise SystemExit(f"built for this machine, not for {arch}: {', '.join(foreign)}")
    return wheels, [wheel for wheel in wheels if wheel not in asked]


def _platforms(arch: str) -> list[str]:
    return [f"--platform={name}_{arch}" for name in PLATFORMS]


def _uv(lock: Path, arch: str, into: Path, folder: Path) -> Path:
    """The program uv for that kind of host, out of its wheel."""
    folder.mkdir()
    _pip("download", "--no-deps", "--require-hashes", *_platforms(arch), "--dest", str(folder), "-r", str(lock))
    (wheel,) = folder.glob("uv-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        (name,) = [name for name in packed.namelist() if name.endswith(".data/scripts/uv")]
        program = into / f"uv-{arch}"
        program.write_bytes(packed.read(name))
    program.chmod(0o755)
    return program


def _asked_of_the_index(lock: str, carried: Iterable[Path]) -> str:
    """The lock for a host with an index of its own, and the wheels the archive brings: no host builds anything."""
    pins = list(map(_pin, carried))
    names = {pin.partition("==")[0].lower() for pin in pins}
    return "".join([*(entry for entry in entries(lock) if _name(entry) not in names), *pins])


def entries(lock: str) -> Iterator[str]:
    """The lock's requirements one by one, each with its hashes."""
    lines = lock.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if line[:1].isalnum()]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield "".join(lines[start:end])


def _name(entry: str) -> str:
    return entry.partition("==")[0].strip().lower()


def locked_for(lock: str, python: str) -> str:
    """The lock's entries that apply to a Linux host with that Python: pip would judge them by the Python it runs on."""
    host = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    kept = list[str]()
    for entry in entries(lock):
        head, _, hashes = entry.partition("\n")
        pin, _, marker = head.removesuffix("\\").partition(" ; ")
        if not marker.strip() or Marker(marker.strip()).evaluate(host):
            kept.append(f"{pin.strip()} \\\n{hashes}")
    return "".join(kept)


def _fits(name: str, arch: str) -> bool:
    platform = name.removesuffix(".whl").split("-")[-1]
    return platform == "any" or platform.endswith(arch)


def _pin(wheel: Path) -> str:
    name, version = wheel.name.split("-")[:2]
    return f"{name.replace('_', '-')}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def _pack(archive: Path, files: Iterable[Path], *, requirements: str) -> None:
    """Write the archive whole or not at all; equal contents give equal bytes."""
    partial = archive.with_suffix(".partial")
    with tarfile.open(partial, "w") as tar:
        for file in sorted(files, key=lambda path: path.name):
            _add(tar, file.name, file.read_bytes())
        _add(tar, "requirements.txt", requirements.encode())
    partial.replace(archive)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    if subprocess.run(command, check=False).returncode:  # noqa: S603 - our own words, no shell
        raise SystemExit(f"pip {arguments[0]} failed; its words stand above")


if __name__ == "__main__":
    main()
