"""Debian's Mosquitto as a test's own broker: loopback, free port, nothing kept on disk.

Law: see tests/fakes/process.py. The broker's log names each client that comes and goes, so a test waits for that line
(`await broker.logged("Client oddsd-")`) and not for time to pass.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence

import pytest

from tests.fakes.process import ServerProcess, find_program

needs_mosquitto = pytest.mark.skipif(
    find_program("mosquitto") is None, reason="Debian's package mosquitto is not installed"
)


class Mosquitto(ServerProcess):
    """One broker. With `users` everybody must sign in, else anybody may; a change counts from the next start.

    `rights` are lines of an access list ("topic read oddsd/#"); without them everybody may everything.
    """

    program = "mosquitto"
    ready_words = " running"

    def __init__(self, *, users: Mapping[str, str] | None = None, rights: Sequence[str] = ()) -> None:
        super().__init__()
        self.users = dict(users or {})
        self.rights = list(rights)

    def prepare(self) -> list[str]:
        """Write the configuration and the password file."""
        lines = [f"listener {self.port} {self.host}", "persistence false", "log_dest stderr", "log_type all"]
        if os.getuid() == 0:
            lines.append("user root")  # else it drops to a user who may not read the test's own directory
        if self.users:
            lines += ["allow_anonymous false", f"password_file {self._write_passwords()}"]
        else:
            lines.append("allow_anonymous true")
        if self.rights:
            lines.append(f"acl_file {self._write_rights()}")
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return ["-c", str(configuration)]

    def _write_rights(self) -> str:
        rights = self.folder / "rights"
        rights.write_text("\n".join(self.rights) + "\n", encoding="utf-8")
        rights.chmod(0o600)
        return str(rights)

    def _write_passwords(self) -> str:
        passwords = self.folder / "passwords"
        passwords.unlink(missing_ok=True)
        tool = find_program("mosquitto_passwd")
        if tool is None:
            raise FileNotFoundError("mosquitto_passwd is not installed")
        passwords.touch(mode=0o600)
        for user, password in self.users.items():
            subprocess.run([tool, "-b", str(passwords), user, password], check=True, capture_output=True)
        return str(passwords)
