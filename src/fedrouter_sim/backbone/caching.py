"""Results of whole requests to a frozen backbone, kept for when the same request comes again."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class RequestCache:
    """Keeps results up to a number of bytes and drops the oldest first.

    Its key is a whole request, every text of it: what a text yields may depend, in its last bits, on the texts that
    share its batch, and a run's bytes must not depend on what ran before it.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._held = 0
        self._results: OrderedDict[str, tuple[Any, int]] = OrderedDict()

    def get(self, request: Any, compute: Callable[[], Result], nbytes: Callable[[Result], int]) -> Result:
        """Return the result of a request (JSON-able), computed only if it is not there."""
        key = hashlib.sha256(json.dumps(request).encode()).hexdigest()
        if key in self._results:
            self._results.move_to_end(key)
            return self._results[key][0]  # type: ignore[no-any-return]  # what `compute` gave for this key
        result = compute()
        size = nbytes(result)
        if size <= self._most:
            self._results[key] = (result, size)
            self._held += size
        while self._held > self._most:
            _, (_, dropped) = self._results.popitem(last=False)
            self._held -= dropped
        return result
