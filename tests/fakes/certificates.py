"""Authorities and certificates for servers of tests, made by openssl in a folder of the test's own."""

import subprocess
from pathlib import Path


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder, timeout=30)


def make_authority(folder: Path, name: str) -> Path:
    """NAME.crt and NAME.key; returns the certificate's file."""
    _openssl(
        folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", f"/CN={name} ca", "-keyout", f"{name}.key", "-out", f"{name}.crt",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    return folder / f"{name}.crt"


def make_certificate(folder: Path, ca: str, name: str, *, expired: bool = False) -> None:
    """server.crt and server.key for this name, signed by an authority made here before."""
    (folder / "server.ext").write_text(f"subjectAltName=DNS:{name}\n")
    _openssl(
        folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
        "-keyout", "server.key", "-out", "server.csr",
    )  # fmt: skip
    _openssl(
        folder, "x509", "-req", "-in", "server.csr", "-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-CAcreateserial",
        "-extfile", "server.ext", "-days", "-1" if expired else "2", "-out", "server.crt",
    )  # fmt: skip
    (folder / "server.key").chmod(0o600)
