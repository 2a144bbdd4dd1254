"""The clients of a run by their numbers, and by the names that the data give them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fedrouter_sim.errors import UserError

_FEW = 3  # names that a message lists


def number_of(client: int | str, numbers: Sequence[int], names: Mapping[int, str], run: Path) -> int:
    """Return the number of a client that is given by its number or, where there is no such number, by its name.

    Args:
        client: a number, which may be a text, or a name.
        numbers: of the run's clients, in order.
        names: of those that have one, by number.
        run: the run's folder.

    Raises:
        UserError: there is no such client.
    """
    named = {name: number for number, name in names.items() if number in numbers}
    known = named | {str(number): number for number in numbers}
    if str(client) in known:
        return known[str(client)]
    in_turn = numbers[-1] - numbers[0] == len(numbers) - 1
    listed = f"{numbers[0]} to {numbers[-1]}" if in_turn else ", ".join(map(str, numbers))
    few = ", ".join([*named][:_FEW]) + (", ..." if len(named) > _FEW else "")
    raise UserError(f"--client {client}: {run} has clients {listed}" + (f", named {few}" if named else ""))
