"""Certificates for tests, made by openssl: an authority, and what it signs."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@dataclass(frozen=True)
class Certificate:
    """`chain` is the file with the certificate, `key` that with its key, as PEM."""

    chain: Path
    key: Path

    @property
    def both(self) -> Path:
        """One file with the key and the certificate, as Kafka reads them."""
        file = self.chain.with_suffix(".both.pem")
        file.write_text(self.key.read_text() + self.chain.read_text())
        return file


class Authority:
    """Signs certificates. Whoever trusts `file` trusts them."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self.file, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        _run("req", "-x509", *_subject(name), *_NEW_KEY, "-nodes", "-out", self.file, "-keyout", self._key)

    def issue(self, name: str, *, host: str = "localhost", days: int = 2, password: str = "") -> Certificate:
        """Return a certificate for the server on a host, or for a client that is called `name`."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request = made.chain.with_suffix(".csr")
        secret = ("-passout", f"pass:{password}") if password else ("-nodes",)
        names = ("-addext", f"subjectAltName=DNS:{host}")
        _run("req", "-new", *_subject(name), *_NEW_KEY, *secret, *names, "-out", request, "-keyout", made.key)
        signed = ("-CA", self.file, "-CAkey", self._key, "-CAcreateserial", "-copy_extensions", "copy")
        _run("x509", "-req", "-in", request, *signed, "-days", str(days), "-out", made.chain)
        return made


def _subject(name: str) -> tuple[str, str]:
    return "-subj", f"/CN={name}"


def _run(*arguments: str | Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("makes certificates with openssl, which is not installed")
    subprocess.run([program, *arguments], check=True, capture_output=True)
