"""Have a model's layers give back what enters them, so that a pass computes the others alone."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from transformers.cache_utils import Cache


class SkippableLayers:
    """The decoder layers of a model, the lower or the upper of which a pass may skip.

    Args:
        layers: all of them.
        first: the place of the first upper one, above 0.

    Attributes:
        first: the same.
    """

    def __init__(self, layers: Sequence[nn.Module], first: int) -> None:
        self._layers = list(layers)
        self.first = first
        # How many values beside the hidden states each layer gives back; None: it gives these alone, in no tuple.
        self._besides: list[int | None] = [None] * len(self._layers)

    @contextlib.contextmanager
    def upper_alone(self, given: Tensor) -> Iterator[None]:
        """Have a pass compute the upper layers alone, of given states (B, L, d) in place of what the lower make."""
        with self._skipping(range(self.first)), self._entering(lambda entering: given.to(entering.device)):
            yield

    @contextlib.contextmanager
    def lower_alone(self) -> Iterator[list[Tensor]]:
        """Have a pass compute the lower layers alone; yields a list that gets what each pass makes, (B, L, d)."""
        heard: list[Tensor] = []

        def hear(entering: Tensor) -> Tensor:
            heard.append(entering)
            return entering

        with self._skipping(range(self.first, len(self._layers))), self._entering(hear):
            yield heard

    @contextlib.contextmanager
    def learning(self) -> Iterator[None]:
        """Note what each layer gives back in a plain pass, as the skipping of it needs."""

        def listener(place: int) -> Callable[[nn.Module, Any, Any], None]:
            def hear(layer: nn.Module, inputs: Any, output: Any) -> None:
                self._besides[place] = len(output) - 1 if isinstance(output, tuple) else None

            return hear

        handles = [layer.register_forward_hook(listener(place)) for place, layer in enumerate(self._layers)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextlib.contextmanager
    def _skipping(self, places: Sequence[int]) -> Iterator[None]:
        """Have layers give back what enters them."""
        before = {place: vars(self._layers[place]).get("forward") for place in places}
        for place in places:
            self._layers[place].forward = _passing(place, self._besides[place])
        try:
            yield
        finally:
            for place, own in before.items():
                if own is None:
                    del self._layers[place].forward
                else:
                    self._layers[place].forward = own

    @contextlib.contextmanager
    def _entering(self, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Change what enters the first upper layer."""

        def enter(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if args:
                return (change(args[0]), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

        handle = self._layers[self.first].register_forward_pre_hook(enter, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()


def _passing(place: int, besides: int | None) -> Callable[..., Any]:
    """Return what stands in for a layer that is skipped.

    Args:
        place: of the layer.
        besides: values that it gives back beside the hidden states; None: it gives no tuple.
    """

    def forward(*args: Any, **kwargs: Any) -> Any:
        hidden: Tensor = args[0] if args else kwargs["hidden_states"]
        cache = next((one for one in (*args, *kwargs.values()) if isinstance(one, Cache)), None)
        if cache is not None:  # models ask a layer's cache how many tokens came before
            blank = hidden.new_zeros(len(hidden), 1, hidden.shape[1], 1)
            cache.update(blank, blank, place)
        return hidden if besides is None else (hidden, *(None,) * besides)

    return forward
