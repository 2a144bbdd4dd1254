"""Rows that cannot be put into a prompt, as their response leaves it no room: refused, or left out, before any work."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.reading import SKIP
from fedrouter_sim.examples.record import Example
from fedrouter_sim.partition.partitioning import ClientShares
from fedrouter_sim.partition.run_data import RunData, TestShares


@dataclass(frozen=True)
class Fitting:
    """What is done with rows that do not fit.

    Attributes:
        flaws: returns the positions of the examples that do not fit, and why (`Encoder.flaws`).
        on_bad_row: 'error' or 'skip'.
    """

    flaws: Callable[[Sequence[Example]], Mapping[int, str]]
    on_bad_row: str

    def data(self, data: RunData) -> RunData:
        """Return the data of a run with those rows only that fit; a note says how many were left out.

        Raises:
            UserError: some do not and are not to be left out, or a client would keep no training row.
        """
        parts = [*data.clients, *data.drifted]
        train = [example for own in parts for example in own.train]
        test = [example for own in parts for example in (*own.test_own, *own.test_all)]
        test += [example for own in data.held_out for example in own] + list(data.validation)
        bad, note = self._left_out({"training": train, "test or validation": test})
        if not bad:
            return data

        def fits(some: Iterable[Example]) -> tuple[Example, ...]:
            return tuple(example for example in some if example not in bad)

        def kept(own: ClientShares) -> ClientShares:
            return ClientShares(fits(own.train), fits(own.test_own), fits(own.test_all))

        clients, drifted = (tuple(map(kept, part)) for part in (data.clients, data.drifted))
        for number, own in (*enumerate(clients), *enumerate(drifted)):
            if not own.train:
                raise UserError(f"{note}; client {number} would have no training row left")
        if not any(own.test_all for own in clients):
            raise UserError(f"{note}; no test row would be left")
        return replace(
            data,
            clients=clients,
            drifted=drifted,
            held_out=tuple(map(fits, data.held_out)),
            validation=fits(data.validation),
            notes=(*data.notes, note),
        )

    def test_shares(self, asked: Mapping[str, TestShares]) -> tuple[dict[str, TestShares], list[str]]:
        """Return test data with those rows only that fit, and a note on the others.

        Raises:
            UserError: some do not and are not to be left out.
        """
        rows = [example for share in asked.values() for own in share.values() for example in own]
        bad, note = self._left_out({"test": rows})
        kept: dict[str, TestShares] = {
            name: {client: [example for example in own if example not in bad] for client, own in share.items()}
            for name, share in asked.items()
        }
        return kept, [note] if bad else []

    def _left_out(self, rows: Mapping[str, Sequence[Example]]) -> tuple[set[Example], str]:
        distinct = list(dict.fromkeys(example for share in rows.values() for example in share))
        bad = {distinct[place]: why for place, why in self.flaws(distinct).items()}
        found = {name: dict.fromkeys(share) for name, share in rows.items()}
        counts = {name: (sum(example in bad for example in share), len(share)) for name, share in found.items()}
        said = " and ".join(f"{few} of {many} {name} rows" for name, (few, many) in counts.items() if few)
        if not bad:
            return set(), ""
        first, why = next(iter(bad.items()))
        if self.on_bad_row != SKIP:
            raise UserError(
                f"{said} do not fit; the first begins {first.instruction[:40]!r} ({why}); correct them, or leave them "
                f"out with --on-bad-row {SKIP}"
            )
        return set(bad), f"left out {said}, which do not fit (the first begins {first.instruction[:40]!r}: {why})"
