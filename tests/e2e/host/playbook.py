"""Ansible as an operator runs it: over ssh, from a control machine on the same wire, with an inventory of one's own."""

import json
import os
import re
import shutil
import subprocess
import time
from asyncio.subprocess import PIPE, STDOUT
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.host.commands import said, started
from tests.e2e.host.network import EDGE_ADDRESS, Wire
from tests.e2e.host.sweep import MARK
from tests.e2e.host.tree import ROOT

VENV = ROOT / ".cache" / "ansible"
_RECAP = re.compile(r"(\w+)=(\d+)")


@dataclass(frozen=True, slots=True)
class Played:
    """How a run ended."""

    code: int
    said: str
    ok: int
    changed: int
    failed: int

    @property
    def end(self) -> str:
        """The last words, for a failing test."""
        return self.said[-4000:]


@dataclass(frozen=True, slots=True)
class Control:
    """The control machine: inventory, key and wheelhouse."""

    folder: Path
    wire: Wire
    wheelhouse: Path

    @property
    def key(self) -> Path:
        """The operator's private key."""
        return self.folder / "id_ed25519"

    async def play(
        self, *arguments: str, playbook: str = "site.yml", within_s: float = 600, **variables: Any
    ) -> Played:
        """One run of a playbook with extra variables."""
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"edges": {"hosts": {"home-1": self._host()}}}))
        began = time.monotonic()
        process = await started(
            "ip", "netns", "exec", self.wire.world, str(VENV / "bin" / "ansible-playbook"),
            "--inventory", str(inventory), "--extra-vars", json.dumps(variables), *arguments,
            str(ROOT / "ansible" / playbook),
            out=PIPE, err=STDOUT, env=self._environment(), at=ROOT / "ansible",
        )  # fmt: skip
        told, _ = await said(process, within_s)
        print(f"{' '.join((playbook, *arguments))} played in {time.monotonic() - began:.0f} s")
        recap = told.rpartition("PLAY RECAP")[2]
        counts = {name: int(number) for name, number in _RECAP.findall(recap)}
        return Played(
            process.returncode or 0, told, counts.get("ok", 0), counts.get("changed", 0), counts.get("failed", 0)
        )

    def hang_up(self) -> None:
        """End the connection that is kept from one run to the next."""
        for line in (self.folder / "cp").glob("*"):
            subprocess.run(
                ["ssh", "-o", f"ControlPath={line}", "-O", "exit", "home-1"], check=False, capture_output=True
            )

    def _host(self) -> dict[str, Any]:
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        return {
            "ansible_host": EDGE_ADDRESS,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": options,
            "ansible_python_interpreter": "/usr/bin/python3",
            "oddsd_edge_wheelhouse": str(self.wheelhouse),
        }

    def _environment(self) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", MARK) if key in os.environ}
        return kept | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible" / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOG_PATH": str(self.folder / "ansible.log"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
            "LC_ALL": "C.UTF-8",
        }


def ansible_missing() -> str | None:
    """Why no playbook can be run, or None."""
    if not (VENV / "bin" / "ansible-playbook").exists():
        return "ansible is not installed (make e2e installs it into .cache/ansible)"
    if shutil.which("ssh") is None:
        return "no ssh client (Debian's package openssh-client)"
    return None
