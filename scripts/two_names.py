"""Write rows of clients that name the same task in two ways: `python scripts/two_names.py FOLDER`.

The included data, dealt out to eight clients with two of the four tasks each (column `client`, for `--split natural`).
Clients 4 to 7 hold the tasks that clients 0 to 3 hold, and have names of their own for them (column `named`; `task` is
as it was). A method that goes by `named` sees eight tasks, of which every two are one: they agree as much as tasks can.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from fedrouter_sim.bundled import bundled
from fedrouter_sim.storage import read_json_lines, write_text

CLIENTS = 8
SHARES = ("train", "validation", "test")


def named_rows(rows: Iterable[dict[str, str]]) -> list[dict[str, str | int]]:
    """Deal each task's rows out in turn to the four clients that hold it, and add `client` and `named` to each."""
    rows = list(rows)
    tasks = sorted({row["task"] for row in rows})
    half = CLIENTS // 2
    holders = defaultdict[str, list[int]](list)
    for client in range(CLIENTS):
        for place in (client, client + 1):
            holders[tasks[place % len(tasks)]].append(client)
    met = dict.fromkeys(tasks, 0)
    found: list[dict[str, str | int]] = []
    for row in rows:
        task = row["task"]
        client = holders[task][met[task] % len(holders[task])]
        met[task] += 1
        found.append({**row, "client": client, "named": f"{task} ({'first' if client < half else 'second'} name)"})
    return found


def main() -> None:
    """Write the shares of the included data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    keys = dict.fromkeys(("instruction", "response", "task"), str)
    for share in SHARES:
        rows = named_rows(read_json_lines(bundled("multitask") / f"{share}.jsonl", keys, "reinstall fedrouter-sim"))
        write_text(folder / f"{share}.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        print(f"{folder / share}.jsonl: {len(rows)} rows")


if __name__ == "__main__":
    main()
