"""The one frozen language model in memory: loading, tokens, training, embedding and answering."""

from importlib import import_module
from typing import Any

_HOMES = {
    "model": "Backbone",
    "answering": "Generated",
    "training": "OptimizerSettings Proximal TrainedAdapter",
    "encoding": "EncodedExample Encoder Prompt",
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Find what scripts use of a backbone; imported late, so that a look at a model's name costs nothing."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
