"""A bare Debian as a folder: made once from Debian's packages, copied for each machine.

Law: bare means what a small cloud image has: systemd, ssh, Python without venv, apt with its lists. What the role
installs lies in apt's cache only, so the machine can be provisioned without any network. A machine is a copy, no
overlay: the role and the daemon refuse a state directory on one, for it may lose what it acknowledged.
"""

import contextlib
import fcntl
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache" / "e2e"
MACHINES = CACHE / "machines"
SUITE = "bookworm"
BASE = ("systemd", "systemd-sysv", "dbus", "udev", "python3", "python3-apt", "openssh-server", "iproute2",
        "ca-certificates", "procps")  # fmt: skip
_TRIES = 3
# What the role asks apt for; downloaded, not installed.
OFFERED = ("python3-venv", "mosquitto", "mosquitto-clients", "openssl")
# A container has no use for them, and some would reach for what is the host's.
MASKED = ("systemd-udevd.service", "systemd-logind.service", "apt-daily.timer", "apt-daily-upgrade.timer",
          "systemd-timesyncd.service", "e2scrub_all.timer", "fstrim.timer")  # fmt: skip


def debian_tree() -> Path:
    """The cached tree; the first call makes it, in about a minute."""
    tree = CACHE / f"debian-{SUITE}"
    with made_once("debian"):
        if not (tree / ".whole").exists():
            began = time.monotonic()
            for _ in range(_TRIES - 1):  # a mirror that stumbles is asked again
                with contextlib.suppress(RuntimeError):
                    _bootstrap(tree)
                    break
            else:
                _bootstrap(tree)
            (tree / ".whole").touch()
            print(f"made a bare Debian in {time.monotonic() - began:.0f} s")
    return tree


def copy_tree(tree: Path, target: Path, *, hostname: str, authorized_key: str) -> None:
    """A machine of its own: a name, a key for root's ssh, no machine-id yet."""
    subprocess.run(["cp", "--archive", "--reflink=auto", str(tree), str(target)], check=True)
    (target / "etc/hostname").write_text(f"{hostname}\n")
    (target / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {hostname}\n")
    (target / "etc/machine-id").write_text("")
    keys = target / "root/.ssh"
    keys.mkdir(mode=0o700, exist_ok=True)
    (keys / "authorized_keys").write_text(authorized_key)
    for unit in MASKED:
        link = target / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")


def _bootstrap(tree: Path) -> None:
    shutil.rmtree(tree, ignore_errors=True)
    fetch = f'chroot "$1" apt-get install --yes --download-only --no-install-recommends {" ".join(OFFERED)}'
    done = subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(BASE)}", "--skip=cleanup/apt",
         f"--customize-hook={fetch}", SUITE, str(tree)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"mmdebstrap could not make a Debian tree:\n{done.stderr[-2000:]}")
    # The archives of what is installed already only cost room in every copy.
    lists = subprocess.run(
        ["chroot", str(tree), "dpkg-query", "--show", "--showformat=${Package}_\n"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    installed = tuple(lists)
    for archive in (tree / "var/cache/apt/archives").glob("*.deb"):
        if archive.name.startswith(installed):
            archive.unlink()


@contextmanager
def made_once(what: str) -> Iterator[None]:
    """One process makes it; the others wait and find it made."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{what}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
