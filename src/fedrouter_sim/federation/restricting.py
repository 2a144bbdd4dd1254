"""Restriction of clients to some of their rows: whatever may be asked of a client may be asked of a part of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.backbone.encoding import EncodedExample
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.questions import Question
from fedrouter_sim.messages import Message

Answer = TypeVar("Answer", bound=Message, covariant=True)


class ClientRows(Client):
    """Some rows of a client, as if it held no others. What was computed of a row is kept with the client."""

    def __init__(self, whole: Client, rows: Ints) -> None:
        super().__init__(whole.id, [whole.examples[row] for row in rows.tolist()], whole._backbone, whole._config)
        self._whole, self._rows = whole, rows

    @cached_property
    def embeddings(self) -> Floats:
        """The embeddings of the rows' instructions, (n, d)."""
        return self._whole.embeddings[self._rows]

    @cached_property
    def encoded(self) -> list[EncodedExample]:
        """The rows in token ids."""
        return [self._whole.encoded[row] for row in self._rows.tolist()]

    @cached_property
    def calibration_rows(self) -> Ints:
        """The positions, among these rows, of the client's calibration rows: they are drawn once for all questions."""
        return np.flatnonzero(np.isin(self._rows, self._whole.calibration_rows))

    def sketches(self, positions: Sequence[int], start: Adapter, seed: int) -> Floats:
        """Return the gradient sketches (k, m) of some of the rows."""
        return self._whole.sketches(self._rows[list(positions)].tolist(), start, seed)


@dataclass(frozen=True)
class AskOfRows(Question[Answer]):
    """A question that is answered of some rows of each client. Positions are among these rows."""

    question: Question[Answer]
    rows: Mapping[int, Ints] = field(repr=False)  # client -> its rows, ascending; as it knows them itself

    @property
    def nbytes(self) -> int:
        """Size of what the question sends along; a client knows its rows."""
        return self.question.nbytes

    def answer(self, client: Client) -> Answer:
        """Answer as if the client held no other rows."""
        return self.question.answer(ClientRows(client, self.rows[client.id]))
