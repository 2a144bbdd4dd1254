"""A backbone that remembers what it computed for a row: many federations are drawn from the same rows."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from fedrouter_sim.adapters.state import Adapter, adapter_digest
from fedrouter_sim.backbone.encoding import EncodedExample
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.sketching import Projection
from fedrouter_sim.config import RunConfig

_SAVED_AFTER = 64  # rows that a kill may lose

Rows = NDArray[np.float32]


class RememberingBackbone(Backbone):
    """Embeds and sketches each row once, and keeps it in a file, so that a study goes on where it stopped.

    Args:
        config: names the backbone.
        file: where the rows are kept.
        on_rows: called with the number of rows that were computed.
    """

    def __init__(self, config: RunConfig, file: Path, on_rows: Callable[[int], None] = lambda count: None) -> None:
        super().__init__(config)
        self._file = file
        self._rows: dict[str, Rows] = load_file(file) if file.exists() else {}
        self._on_rows = on_rows
        self._unsaved = 0

    def embed(self, texts: Sequence[str]) -> Rows:
        """Return the embeddings of texts, (n, d)."""
        keys = [self._key("embedding", text) for text in texts]
        return self._remembered(keys, lambda places: super(RememberingBackbone, self).embed([texts[i] for i in places]))

    def sketch(self, start: Adapter, examples: Sequence[EncodedExample], projection: Projection) -> Rows:
        """Return the gradient sketches of examples, (n, SKETCH)."""
        where = f"sketch {adapter_digest(start)} {projection.seed}"
        keys = [self._key(where, f"{example.prompt.ids}{example.response}") for example in examples]
        return self._remembered(
            keys,
            lambda places: super(RememberingBackbone, self).sketch(start, [examples[i] for i in places], projection),
        )

    def _key(self, what: str, row: str) -> str:
        return hashlib.sha256(f"{self.digest}\0{what}\0{row}".encode()).hexdigest()

    def _remembered(self, keys: Sequence[str], compute: Callable[[list[int]], Rows]) -> Rows:
        new = [place for place, key in enumerate(keys) if key not in self._rows]
        for first in range(0, len(new), _SAVED_AFTER):
            places = new[first : first + _SAVED_AFTER]
            self._rows.update(zip([keys[i] for i in places], compute(places), strict=True))
            self._on_rows(len(places))
            self._unsaved += len(places)
            if self._unsaved >= _SAVED_AFTER:
                self.save()
        return np.stack([self._rows[key] for key in keys])

    def save(self) -> None:
        """Write what is remembered."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(".partial")
        save_file({key: np.ascontiguousarray(row) for key, row in self._rows.items()}, partial)
        partial.replace(self._file)
        self._unsaved = 0
