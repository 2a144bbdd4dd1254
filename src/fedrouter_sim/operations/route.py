"""`route`: who answers a text, and the answer; a batch at a time, so that memory stays the same for any input."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from threading import Lock

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.answerer import Answerer
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.routing import BARE, LOCAL, ROUTERS
from fedrouter_sim.routing.reach import counts_as_unseen
from fedrouter_sim.runs.reader import Run, open_run
from fedrouter_sim.tables import option_texts
from fedrouter_sim.texts import half_character

BATCH = 64  # texts routed, and answered, together
BACKBONE = "backbone"  # what answers where no adapter does


@dataclass(frozen=True)
class Routed:
    """One routed text."""

    text: str
    task: str  # name of the adapter that answers, of the largest weight in a mixed answer; 'backbone' for none
    distance: float | None = None  # L2 to its centroid, in the normalised space; None without a router
    margin: float | None = None  # distance to the second nearest minus distance; None with one task
    answer: str | None = None
    weights: Mapping[str, float] = field(default_factory=dict)  # adapter -> weight, of a mixed answer
    unseen: float | None = None  # how unseen the text is, in [0, 1); None where there is no calibrated router
    confidence: float | None = None  # the probability that the router gives the task; None where it gives none

    @property
    def is_unseen(self) -> bool:
        """Whether the text counts as unseen: unlike nearly all that any task was made of."""
        return counts_as_unseen(self.unseen)


class RoutedModel:
    """A run opened for use: one backbone, the run's own way to choose, and adapters, each read when first needed.

    Threads may share it: they take turns, a batch at a time, since there is one adapter slot.
    """

    def __init__(
        self,
        run: Run | Path | str,
        batch: int = BATCH,
        *,
        client: int | str | None = None,
        routing: str | None = None,
        unseen: str | None = None,
        router: str | None = None,
        option: Sequence[str] = (),
    ) -> None:
        """Open a run; its backbone is loaded with the first text.

        Args:
            run: a run, or its folder.
            batch: most texts that are read ahead, routed and answered together.
            client: who asks, for methods whose answers depend on it: a number, or the name that the data give it where
                there is no such number; None: nobody in particular.
            routing: one of the method's routings, or 'none' for the bare backbone; None: with a client the method's
                `local` routing, where it has one, else its first.
            unseen: what answers texts that count as unseen: 'answer', the nearest adapter; 'bare', the bare backbone;
                'mix', half of each; None: what the run was told.
            router: another router, made of the run's archive; None for the run's.
            option: options of `router`, as 'name=value'; those of the run hold where none is given.

        Raises:
            UserError: there is no such run, client, routing or router, or the run has nothing to make a router of. With
                the first text: the run cannot tell unseen texts.
            ValueError: `batch` is less than 1.
        """
        if batch < 1:
            raise ValueError(f"batch = {batch}: must be at least 1")
        self.run = open_run(run)
        self.client = None if client is None else self.run.client_number(client)
        has = self.run.method.routings
        if routing is not None and routing not in (*has, BARE):
            raise UserError(
                f"--routing {routing}: method {self.run.summary.method} has no such routing; it has "
                f"{', '.join(has)} and {BARE}"
            )
        self.routing = routing or (LOCAL if client is not None and LOCAL in has else has[0])
        self._unseen = unseen
        if option and router is None:
            raise UserError(f"--option {option[0]}: is of no router; name one with --router")
        options = option_texts(ROUTERS.options(router, self.run.config.option, option)) if router else ()
        self._router = self.run.other_router(router, options) if router else None
        self._batch = batch
        self._adapters: dict[str, Adapter] = {}
        self._turn = Lock()

    def route(self, texts: Iterable[str | Example]) -> Iterator[Routed]:
        """Say who answers each text, in order, as they come.

        Args:
            texts: texts, or examples with a task, which only runs of `oracle` and `central` go by.

        Raises:
            UserError: the backbone is not the one that the run was trained on, the method has to know who asks, or a
                text holds half a character.
            TypeError: `texts` is a single text, or holds what is none.
        """
        return self._routed(_several(texts), answers=False)

    def answer(self, texts: Iterable[str | Example]) -> Iterator[Routed]:
        """Answer each text greedily by its adapter, in order, as they come.

        Raises:
            UserError: as `route`, or an adapter is damaged.
            TypeError: `texts` is a single text, or holds what is none.
        """
        return self._routed(_several(texts), answers=True)

    @cached_property
    def _answerer(self) -> Answerer:
        return self.run.answerer(self.run.open_backbone(), self._adapter, self._unseen, self._router)

    def _adapter(self, pool: str) -> Adapter:
        if pool not in self._adapters:
            self._adapters[pool] = self.run.adapter(pool)
        return self._adapters[pool]

    def _routed(self, texts: Iterator[str | Example], answers: bool) -> Iterator[Routed]:
        while chunk := list(islice(texts, self._batch)):
            with self._turn:
                done = self._route_batch(chunk, answers)
            yield from done

    def _route_batch(self, texts: list[str | Example], answers: bool) -> list[Routed]:
        examples = [text if isinstance(text, Example) else Example(text, "") for text in texts]
        choices = self._answerer.choose(examples, self.client, self.routing)
        given: list[str | None] = [None] * len(texts)
        if answers:
            kinds = [choice.together for choice in choices]
            for batch in self._answerer.answer([choice.weights for choice in choices], examples, kinds):
                for position, text in zip(batch.positions, batch.generated.answers, strict=True):
                    given[position] = text
        return [
            Routed(
                example.instruction,
                choice.pool or BACKBONE,
                choice.distance,
                choice.margin,
                answer,
                choice.mixed,
                choice.unseen,
                choice.confidence,
            )
            for example, choice, answer in zip(examples, choices, given, strict=True)
        ]


def _several(texts: Iterable[str | Example]) -> Iterator[str | Example]:
    """Yield the texts. A single one is refused at once: its letters, or bytes, would be taken for texts."""
    if isinstance(texts, str | bytes):
        raise TypeError("give a list of texts, not one text")
    return _checked(texts)


def _checked(texts: Iterable[str | Example]) -> Iterator[str | Example]:
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str | Example):
            raise TypeError(f"text {number} is {text!r}; give texts, or examples")
        if half_character(text if isinstance(text, str) else text.instruction):
            raise UserError(f"text {number} holds half a character (surrogate) or bytes that are not UTF-8")
        yield text
