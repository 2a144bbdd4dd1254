"""`doctor`: what is installed, what the machine is, and what stands in the way of a run. The network is not asked."""

import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import fedrouter_sim
from fedrouter_sim.backbone.caches import MODELS, RESULTS, cache_folder
from fedrouter_sim.backbone.locating import resolve_model
from fedrouter_sim.bundled import BUNDLED_DATA, BUNDLED_MODEL, FETCHED, bundled
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.machine import folder_size, free_disk, is_writable, memory, size, usable_cores
from fedrouter_sim.packages import (
    DISTRIBUTION,
    Requirement,
    extras,
    import_names,
    installed_version,
    is_older,
    required_python,
    requirements,
    without_byte_code,
)
from fedrouter_sim.waiting import chosen

OK, NOTE, PROBLEM = "ok", "note", "problem"
"""States of a check: as it should be; worth knowing, runs on the embedded data work all the same; no run works."""

_NVIDIA = Path("/proc/driver/nvidia")  # is there where a card's driver is loaded
_LITTLE = 2**30  # bytes of memory or disk below which a note is due; a small run takes some 650 MiB of memory
_AGAIN = f"install {DISTRIBUTION} again: pip install --force-reinstall --no-deps {DISTRIBUTION}"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    section: str
    name: str
    state: str  # OK, NOTE or PROBLEM
    found: str  # what is there, for a person
    remedy: str = ""  # what to do about it; empty where nothing is to be done
    values: dict[str, Any] = field(default_factory=dict)  # what is there, for a program; sizes in bytes


@dataclass(frozen=True)
class Checkup:
    """What `doctor` reports."""

    checks: tuple[Check, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Names of what stands in the way of every run; none where a run on the embedded data works."""
        return tuple(check.name for check in self.checks if check.state == PROBLEM)


def doctor() -> Checkup:
    """Look at packages, machine, caches, embedded files and extras, and ask no network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages, when they are loaded
        packages = Checkup(tuple(_packages()))
        loaded = not packages.problems
        return Checkup((*packages.checks, *_machine(), *_caches(), *_offline(loaded), *_extras()))


def _packages() -> Iterator[Check]:
    section = "Packages"
    here = str(Path(fedrouter_sim.__file__).parent)
    own, known = fedrouter_sim.__version__, installed_version(DISTRIBUTION)
    values: dict[str, Any] = {"version": own, "folder": here}
    try:
        needed, least = requirements(), required_python()
    except PackageNotFoundError:
        found = f"{own} in {here}, not installed as a package: what it needs is not known"
        yield Check(section, DISTRIBUTION, NOTE, found, "in the checkout: pip install -e .", values)
        return
    if known == own:
        yield Check(section, DISTRIBUTION, OK, f"{own} in {here}", values=values)
    else:
        found = f"{own} in {here}, though {known} is what was installed: what it needs may have changed since"
        yield Check(section, DISTRIBUTION, NOTE, found, "in the checkout: pip install -e .", values)
    python = platform.python_version()
    old = least is not None and is_older(python, least)
    yield Check(
        section,
        "python",
        PROBLEM if old else OK,
        f"{python}, older than {least}" if old else python,
        f"take Python {least} or newer" if old else "",
        {"version": python, "least": least},
    )
    for requirement in needed:
        if requirement.extra is None:
            yield _package(section, requirement)
    yield _byte_code(section)


def _package(section: str, needed: Requirement) -> Check:
    """Look at a package that every run needs: whether it is there, new enough, and loads."""
    name, found = needed.name, needed.installed
    values = {"version": found, "least": needed.least}
    install = f"pip install '{needed.text}'"
    if found is None:
        if needed.conditional:
            return Check(section, name, NOTE, "missing; only some systems need it", install, values)
        return Check(section, name, PROBLEM, "missing", install, values)
    if needed.too_old:
        return Check(section, name, PROBLEM, f"{found}, older than {needed.least}", install, values)
    try:
        for module in import_names(name):
            import_module(module)
    except Exception as error:  # a broken package fails in as many ways as there are packages
        again = f"pip install --force-reinstall --no-deps '{needed.text}'"
        return Check(section, name, PROBLEM, f"{found}, but it does not load: {_said(error)}", again, values)
    return Check(section, name, OK, found, values=values)


def _byte_code(section: str) -> Check:
    """Look whether what takes longest to import is compiled once, or by each process anew."""
    folder = without_byte_code("torch")
    values = {"kept": folder is None, "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE")}
    if folder is None:
        return Check(section, "byte code", OK, "kept", values=values)
    remedy = f"once: PYTHONDONTWRITEBYTECODE= {sys.executable} -m compileall -q {folder.parent}"
    return Check(section, "byte code", NOTE, "not kept: each start compiles all that it imports", remedy, values)


def _machine() -> Iterator[Check]:
    section = "Machine"
    yield from _computing(section)
    for name, valid, meaning in (
        ("OMP_NUM_THREADS", _are_thread_counts, "a number of threads"),
        ("OMP_WAIT_POLICY", lambda text: text.strip().lower() in ("active", "passive"), "ACTIVE or PASSIVE"),
    ):
        yield _variable(section, name, valid, meaning)
    found = memory()
    if found is None:
        yield Check(section, "memory", NOTE, "not known on this system")
    else:
        little = found.available is not None and found.available < _LITTLE
        free = "" if found.available is None else f", {size(found.available)} available"
        remedy = "end other programs: a small run takes some 650 MiB" if little else ""
        values: dict[str, Any] = {"total": found.total, "available": found.available}
        yield Check(section, "memory", NOTE if little else OK, f"{size(found.total)}{free}", remedy, values)
    try:
        yield _place(section, "working folder", Path.cwd(), "or say with train --out where the run goes")
    except OSError as error:  # it was removed
        yield Check(section, "working folder", NOTE, _said(error), "go to a folder that is there")


def _computing(section: str) -> Iterator[Check]:
    """Look at the device, the data type and the threads that a run would take."""
    try:
        import torch

        from fedrouter_sim.backbone.devices import computes_bfloat16, resolve_device
    except Exception as error:  # said of the package already
        for name in ("device", "data type", "threads"):
            yield Check(section, name, NOTE, f"not known: torch does not load ({_said(error)})")
        return
    with warnings.catch_warnings(record=True) as said:  # such as that the card's driver is too old
        warnings.simplefilter("always")
        device = resolve_device("auto")
        fast = computes_bfloat16(device)
    told = [one.message for one in said if issubclass(one.category, UserWarning)]
    values: dict[str, Any] = {"auto": device.type}
    if device.type == "cuda":
        cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        values["cards"] = [{"name": card.name, "memory": card.total_memory} for card in cards]
        listed = ", ".join(f"{card.name} with {size(card.total_memory)}" for card in cards)
        yield Check(section, "device", OK, f"auto: cuda; {listed}", values=values)
    elif told or _NVIDIA.exists():
        why = _said(told[0]) if told else "a card's driver is there, and torch sees no card"
        remedy = f"install a build of torch for the card's driver; this one is {torch.__version__}"
        yield Check(section, "device", NOTE, f"auto: cpu; {why}", remedy, values)
    else:
        yield Check(section, "device", OK, "auto: cpu; there is no CUDA device", values=values)
    what = "the card" if device.type == "cuda" else "the processor"
    dtype = "the faster of float32 and bfloat16, by a step that is measured once a backbone" if fast else "float32"
    computes = "computes in bfloat16" if fast else "does not compute in bfloat16"
    values = {"auto": "measured" if fast else "float32"}
    yield Check(section, "data type", OK, f"auto: {dtype}; {what} {computes}", values=values)
    threads, cores = torch.get_num_threads(), usable_cores()
    values = {"torch": threads, "cores": cores}
    found = f"torch takes {threads} of {cores} usable cores"
    if threads > cores:
        found = f"torch takes {threads} threads on {cores} usable cores"
        yield Check(section, "threads", NOTE, found, f"they get in each other's way: OMP_NUM_THREADS={cores}", values)
    else:
        yield Check(section, "threads", OK, found, values=values)


def _are_thread_counts(text: str) -> bool:
    """Say whether OpenMP takes a text as numbers of threads: one, or one for each level of nesting."""
    return all(part.strip().isdecimal() and part.strip(" 0") for part in text.split(","))


def _variable(section: str, name: str, valid: Callable[[str], bool], meaning: str) -> Check:
    """Look at a variable that OpenMP reads when torch is loaded."""
    text = os.environ.get(name, "")
    values = {"value": os.environ.get(name)}
    if not text.strip():
        return Check(section, name, OK, "not set", values=values)
    if valid(text):
        why = chosen() if name == "OMP_WAIT_POLICY" else None
        return Check(section, name, OK, f"{text}, chosen {why}" if why else text, values=values)
    return Check(section, name, NOTE, f"{text!r} has no effect", f"unset it, or set it to {meaning}", values)


def _caches() -> Iterator[Check]:
    section = "Caches"
    try:
        folder, results = cache_folder(MODELS), cache_folder(RESULTS)
    except RuntimeError as error:  # there is no home folder
        remedy = "FEDROUTER_SIM_CACHE=FOLDER names a place"
        yield Check(section, "converted models", NOTE, f"have no place ({_said(error)})", remedy)
    else:
        for name, place in (("converted models", folder), ("embeddings and sketches", results)):
            yield _place(section, name, place, "or FEDROUTER_SIM_CACHE=FOLDER names another", cache=True)
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except Exception as error:  # comes with transformers, of which it is said already
        yield Check(section, "Hub", NOTE, f"not known: huggingface_hub does not load ({_said(error)})")
    else:
        yield _place(section, "Hub", Path(HF_HUB_CACHE), "or HF_HOME=FOLDER names another", cache=True)


def _place(section: str, name: str, folder: Path, otherwise: str, cache: bool = False) -> Check:
    """Look at a folder that is written to: what it holds if it is a cache, and whether there is room for more."""
    there = os.access(folder, os.F_OK) and folder.is_dir()
    writable, free = is_writable(folder), free_disk(folder)
    values: dict[str, Any] = {"folder": str(folder), "exists": there, "writable": writable, "free": free}
    found = f"{folder}: "
    if cache and there:
        values["size"] = folder_size(folder)
        found += f"{size(values['size'])}, "
    elif cache:
        found += "not there yet, "
    found += f"{size(free)} of disk free"
    if not writable:
        remedy = f"allow yourself to write there, {otherwise}"
        return Check(section, name, NOTE, f"{found}; cannot be written", remedy, values)
    if free < _LITTLE:
        return Check(section, name, NOTE, found, f"make room there, {otherwise}", values)
    return Check(section, name, OK, found, values=values)


def _offline(loaded: bool) -> Iterator[Check]:
    """Look at what needs no network: where packages are loaded, embedded files are read as a run reads them."""
    section = "Without network"
    for label, name, read in (
        *((f"data {name}", name, _read_data) for name in BUNDLED_DATA),
        (f"backbone {BUNDLED_MODEL}", BUNDLED_MODEL, _read_model),
    ):
        yield _embedded(section, label, name, read if loaded else None)
    for name in FETCHED:
        try:
            found = str(resolve_model(name))
            yield Check(section, f"backbone {name}", OK, found, values={"folder": found})
        except (UserError, OSError, RuntimeError) as error:  # the latter: no home folder, and so no cache
            found, _, remedy = _said(error).removeprefix(f"--model {name}: ").partition("; ")
            yield Check(section, f"backbone {name}", NOTE, found, remedy, {"folder": None})
    try:
        from huggingface_hub.constants import HF_HUB_OFFLINE
    except Exception:
        return
    given = os.environ.get("HF_HUB_OFFLINE", "")
    values = {"offline": HF_HUB_OFFLINE, "value": os.environ.get("HF_HUB_OFFLINE")}
    if HF_HUB_OFFLINE:
        found = "set: models and data of the Hub are taken from its cache alone"
        yield Check(section, "HF_HUB_OFFLINE", OK, found, values=values)
    elif given.lower() in ("", "0", "false", "no", "off"):
        found = "not set: what --model and --data name of the Hub is downloaded unless its cache has it"
        yield Check(section, "HF_HUB_OFFLINE", OK, found, values=values)
    else:
        remedy = "set it to 1 to keep from asking the Hub"
        yield Check(section, "HF_HUB_OFFLINE", NOTE, f"{given!r} has no effect", remedy, values)


def _embedded(section: str, label: str, name: str, read: Callable[[str], str] | None) -> Check:
    """Look at embedded files: whether they are there and, if there is something to `read` them by, in order."""
    wrong = PROBLEM if name in (RunConfig.data, RunConfig.model) else NOTE
    try:
        folder = str(bundled(name))
    except FileNotFoundError:
        return Check(section, label, wrong, "missing from this installation", _AGAIN, {"folder": None})
    if read is None:
        found = "there; to be read when the packages are in order"
        return Check(section, label, NOTE, found, values={"folder": folder})
    try:
        return Check(section, label, OK, read(name), values={"folder": folder})
    except Exception as error:  # damaged files fail in as many ways as there are readers
        return Check(section, label, wrong, f"not readable: {_said(error)}", _AGAIN, {"folder": folder})


def _read_data(name: str) -> str:
    from fedrouter_sim.examples.reading import Reading
    from fedrouter_sim.examples.sources import load_shares, load_test

    if name != RunConfig.data:
        return f"{len(load_test(name, Reading())):,} test rows"
    shares = load_shares(name, Reading())
    return f"{len(shares.train):,} training rows, {len(shares.test):,} test rows"


def _read_model(name: str) -> str:
    from fedrouter_sim.backbone.loading import load_model

    _, model = load_model(bundled(name), name)
    return f"{sum(weight.numel() for weight in model.parameters()):,} parameters"


def _extras() -> Iterator[Check]:
    section = "Extras"
    try:
        known = extras()
    except PackageNotFoundError:  # said already
        return
    for extra, needed in known.items():
        versions = {one.name: one.installed for one in needed}
        wrong = [
            f"{one.name} {one.installed} is older than {one.least}" if one.too_old else f"{one.name} is missing"
            for one in needed
            if one.too_old or (one.installed is None and not one.conditional)
        ]
        values: dict[str, Any] = {"installed": not wrong, "versions": versions}
        if wrong:
            install = f"pip install '{DISTRIBUTION}[{extra}]'"
            yield Check(section, extra, NOTE, ", ".join(wrong), install, values)
        else:
            there = ", ".join(f"{name} {found}" for name, found in versions.items() if found)
            yield Check(section, extra, OK, there or "needs nothing", values=values)


def _said(error: object) -> str:
    """Return the first line of what an error or a warning says."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
