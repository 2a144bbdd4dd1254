"""The methods, one file each, and the registry that `--method` chooses from."""

import hashlib
import importlib.util
import sys
from pathlib import Path

from fedrouter_sim.errors import UserError
from fedrouter_sim.methods.bare_backbone import Base
from fedrouter_sim.methods.central import Central
from fedrouter_sim.methods.clustered import Clustered
from fedrouter_sim.methods.ditto import Ditto
from fedrouter_sim.methods.fedavg import FedAvg
from fedrouter_sim.methods.feddpa import FedDPA
from fedrouter_sim.methods.fedprox import FedProx
from fedrouter_sim.methods.fedrouter import FedRouter
from fedrouter_sim.methods.local import Local
from fedrouter_sim.methods.method import (
    Asked,
    Choice,
    Deployment,
    Federation,
    LastRound,
    Method,
    Plan,
    Pool,
    client_pool,
    group_by,
    pools_of,
    whole_group,
)
from fedrouter_sim.methods.oracle import Oracle

__all__ = [
    "METHODS",
    "Asked",
    "Base",
    "Choice",
    "Deployment",
    "FedAvg",
    "FedRouter",
    "Federation",
    "LastRound",
    "Method",
    "Plan",
    "Pool",
    "client_pool",
    "find_method",
    "group_by",
    "method_digest",
    "method_reference",
    "pools_of",
    "whole_group",
]

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Base(), Local(), FedAvg(), FedProx(), Clustered(), Ditto(), FedDPA(), FedRouter(), Oracle(), Central(),
    )
}  # fmt: skip


def find_method(name: str) -> Method:
    """Return a method by its name, or the user's own by 'FILE.py:CLASS'; that file is run.

    Raises:
        UserError: there is no such method, or the file does not run or does not hold such a class.
    """
    if name in METHODS:
        return METHODS[name]
    path, separator, wanted = name.rpartition(":")
    if not separator:
        raise UserError(f"--method {name}: choose one of {', '.join(METHODS)}, or give your own as FILE.py:CLASS")
    file = Path(path)
    if file.suffix != ".py" or not file.is_file():
        raise UserError(f"--method {name}: {path or 'nothing'} is no Python file; give FILE.py:CLASS")
    spec = importlib.util.spec_from_file_location(f"fedrouter_sim_own_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UserError(f"--method {name}: {path} cannot be imported; give a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
        found = getattr(module, wanted, None)
        if not (isinstance(found, type) and issubclass(found, Method)):
            raise UserError(f"--method {name}: {path} has no class {wanted} that is a fedrouter_sim.methods.Method")
        if getattr(found, "name", "") in ("", *METHODS):
            raise UserError(f"--method {name}: {wanted} has no name of its own; set `name = ...` in the class")
        return found()
    except UserError:
        raise
    except Exception as error:  # whatever the user's code raises is the user's to read, in one line
        raise UserError(f"--method {name}: {path} does not run ({type(error).__name__}: {error})") from error


def method_reference(method: type[Method]) -> str:
    """Return what the setting `method` calls a class: its name if it is shipped, else FILE.py:CLASS.

    Raises:
        UserError: it stands at the top of no Python file, or has no name of its own.
    """
    if type(METHODS.get(getattr(method, "name", ""))) is method:
        return method.name
    file = getattr(sys.modules.get(method.__module__), "__file__", None)
    if file is None or not Path(file).is_file() or "." in method.__qualname__:
        raise UserError(
            f"method {method.__qualname__}: stands at the top of no Python file, so its run could never be opened "
            "again; move the class into a file"
        )
    if getattr(method, "name", "") in ("", *METHODS):
        raise UserError(f"method {method.__name__}: has no name of its own; set `name = ...` in the class")
    return f"{Path(file).resolve()}:{method.__name__}"


def method_digest(name: str) -> str | None:
    """Return the SHA-256 of the file of the user's own method; None for those that are shipped, or if it is gone."""
    file = Path(name.rpartition(":")[0])
    return None if name in METHODS or not file.is_file() else hashlib.sha256(file.read_bytes()).hexdigest()
