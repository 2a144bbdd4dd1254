"""Mutations of real files: of their bytes, of the values of JSON and TOML, of tensors and their headers, of places."""

import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import tomli_w
from safetensors.numpy import load_file, save

_RAW = "@raw:{}@"
_NUMBERS = {"digits-400": "9" * 400, "digits-5000": "-" + "7" * 5000, "overflow": "1e999"}
_RAWS = _NUMBERS | {  # what no value of Python becomes when it is written as JSON
    "deep-lists": "[" * 100_000 + "]" * 100_000,
    "deep-objects": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "less-deep": "[" * 900 + "]" * 900,
    "infinity": "Infinity",
    "nan": "NaN",
    "surrogate": '"\\ud800"',
    "twice": '{"a": 1, "a": 2}',
}
_RAWS_OF_TOML = _NUMBERS | {
    "deep-lists": "[" * 20_000 + "]" * 20_000,
    "deep-objects": "{a=" * 5_000 + "1" + "}" * 5_000,
    "less-deep": "[" * 400 + "]" * 400,
    "infinity": "inf",
    "nan": "nan",
    "date": "1979-05-27T07:32:00Z",
}
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 10**6, 2**31, 2**63, 2**64 - 1, -(2**63), 0.5, -0.5, 1e300, -1e38, 1e-320,
    "", "x", "0", "-1", "../planted", "/etc/passwd", "a/b", "task_0", "a b", "\x00", "\x1b[31mred\x1b[0m", "\u202eabc",
    "[red]", "[/red]", "$x", "%s", "{}", "x" * 5000, "\x9b31m", "NaN", "1e999",
    [], {}, [[]], [None], [1, 2, 3], ["x"], {"x": 1}, [{}], {"": None}, {"-1": 1}, {"task_0": {"x": 1}},
)  # fmt: skip


def mutated_json(text: str, draw: Random) -> str:
    """Change one to three values of a JSON text, or of a line of several."""
    lines = text.splitlines()
    if len(lines) > 1 and text.lstrip().startswith("{") and not text.lstrip().startswith("{\n"):
        place = draw.randrange(len(lines))
        lines[place] = mutated_json(lines[place], draw)
        return "\n".join(lines) + "\n"
    value = json.loads(text)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        value = _changed(value, draw, _RAWS)
    return _filled(json.dumps(value), _RAWS, '"')


def mutated_toml(text: str, draw: Random) -> str:
    """Change one to three values of a TOML text."""
    value: Any = tomllib.loads(text)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        value = _changed(value, draw, _RAWS_OF_TOML, deeper=True)
    try:
        return _filled(tomli_w.dumps(value), _RAWS_OF_TOML, '"')
    except (TypeError, AttributeError, ValueError):  # null, or no table at the top
        return text.replace("=", draw.choice(("==", "= [", "= {", "")), 1)


def mutated_bytes(data: bytes, draw: Random) -> bytes:
    """Flip, cut, repeat, or put in some bytes."""
    kind = draw.randrange(8)
    at = draw.randrange(len(data) + 1)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + draw.randbytes(draw.choice((1, 4, 64))) + data[at:]
    if kind == 2:
        return data[:at] + data[at + draw.choice((1, 8, 100)) :]
    if kind == 3:
        return draw.choice(
            (b"", b"\0" * 64, b"\xff\xfe" + data, b"[" * 100_000, b"{}", b"[]", b"null", b"\xef\xbb\xbf")
        )
    if kind == 4:
        return data + data[:at]
    changed = bytearray(data)
    for _ in range(draw.choice((1, 2, 8))):
        if changed:
            place = draw.randrange(min(len(changed), draw.choice((16, 400, len(changed)))))
            changed[place] ^= 1 << draw.randrange(8)
    return bytes(changed)


def mutated_tensors(path: Path, draw: Random) -> bytes:
    """Change a tensor's values, type or shape, or what the header says of it."""
    if draw.random() < 0.4:
        return _with_other_header(path.read_bytes(), draw)
    tensors = load_file(path)
    name = draw.choice(sorted(tensors))
    made = _other_tensor(tensors[name], draw)
    kind = draw.randrange(12)
    if kind == 0:
        del tensors[name]
    elif kind == 1:
        tensors[draw.choice(("x", "", "a.b", name + "2", "../x", "\x1b[31m"))] = tensors.pop(name)
    elif kind == 2:
        tensors[name + ".more"] = made
    elif kind == 3:
        tensors = dict(list(tensors.items())[: draw.randrange(len(tensors))])
    else:
        tensors[name] = made
    return save({key: np.ascontiguousarray(value) for key, value in tensors.items()})


def mutated_place(path: Path, draw: Random) -> None:
    """Put something else where a file is: nothing, a folder, a link, a pipe."""
    path.unlink()
    kind = draw.randrange(6)
    if kind == 1:
        path.mkdir()
    elif kind == 2:
        path.symlink_to("/etc/passwd")
    elif kind == 3:
        path.symlink_to(path)
    elif kind == 4:
        os.mkfifo(path)
    elif kind == 5:
        path.touch(mode=0)


def mutate(path: Path, draw: Random) -> None:
    """Change one file for the worse, by its kind."""
    by_kind: dict[str, Callable[[], Any]] = {
        ".json": lambda: path.write_text(mutated_json(path.read_text("utf-8"), draw), "utf-8"),
        ".jsonl": lambda: path.write_text(mutated_json(path.read_text("utf-8"), draw), "utf-8"),
        ".toml": lambda: path.write_text(mutated_toml(path.read_text("utf-8"), draw), "utf-8"),
        ".safetensors": lambda: path.write_bytes(mutated_tensors(path, draw)),
    }
    chance = draw.random()
    if chance < 0.05:
        mutated_place(path, draw)
    elif chance < 0.2 or path.suffix not in by_kind:
        path.write_bytes(mutated_bytes(path.read_bytes(), draw))
    else:
        by_kind[path.suffix]()


def _changed(value: Any, draw: Random, raws: dict[str, str], deeper: bool = False) -> Any:
    """Return a value with one of its parts changed."""
    if isinstance(value, dict) and value and (deeper or draw.random() < 0.85):
        key = draw.choice(sorted(value))
        made = dict(value)
        kind = draw.random()
        if kind < 0.1:
            del made[key]
        elif kind < 0.15:
            made[draw.choice(("x", "", "-1", "2" * 30, "../x", "\x1b[31m", "\ud800"[:0] + "é"))] = made.pop(key)
        elif kind < 0.2:
            made[draw.choice(("x", "method", "format", "0"))] = _hostile(draw, raws)
        else:
            made[key] = _changed(value[key], draw, raws)
        return made
    if isinstance(value, list) and value and draw.random() < 0.75:
        at = draw.randrange(len(value))
        kind = draw.random()
        if kind < 0.15:
            return value[:at] + value[at + 1 :]
        if kind < 0.3:
            return [*value, value[at]]
        return [*value[:at], _changed(value[at], draw, raws), *value[at + 1 :]]
    return _hostile(draw, raws)


def _hostile(draw: Random, raws: dict[str, str]) -> Any:
    return _RAW.format(draw.choice(sorted(raws))) if draw.random() < 0.25 else draw.choice(_VALUES)


def _filled(text: str, raws: dict[str, str], quote: str) -> str:
    for name, raw in raws.items():
        text = text.replace(quote + _RAW.format(name) + quote, raw)
    return text


def _other_tensor(value: Any, draw: Random) -> Any:
    flat = np.array(value, copy=True)
    kind = draw.randrange(14)
    if kind < 5 and flat.size:
        hostile = draw.choice((np.nan, np.inf, -np.inf, 1e300, -1e38, 3e38, 1e-45, -1, 0, 2**31, 2**40, 1e18))
        made = flat.astype(np.float64) if abs(hostile) > 1e38 and kind < 2 else flat
        with np.errstate(all="ignore"):
            made.reshape(-1)[draw.randrange(flat.size) if draw.random() < 0.7 else slice(None)] = (
                hostile if made.dtype.kind == "f" else np.int64(np.nan_to_num(hostile, posinf=2**62, neginf=-(2**62)))
            )
        return made
    if kind < 8:
        types = ("float64", "float32", "float16", "int64", "int32", "int8", "uint8", "uint64", "bool")
        with np.errstate(all="ignore"):
            return flat.astype(draw.choice(types))
    if kind == 8:
        return np.full(flat.shape, 2**64 - 1, dtype=np.uint64)
    if kind == 9:
        return flat.reshape(-1)
    if kind == 10:
        return flat[None]
    if kind == 11:
        return flat[:-1] if flat.ndim else flat[None]
    if kind == 12:
        return np.concatenate([flat, flat]) if flat.ndim else flat
    return np.empty((0, *flat.shape[1:]), dtype=flat.dtype)


def _with_other_header(data: bytes, draw: Random) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + length], data[8 + length :]
    kind = draw.randrange(8)
    if kind == 0:
        claimed = draw.choice((0, 1, 7, length - 1, length + 8, 2**31, 2**40, 2**63, 2**64 - 1))
        return claimed.to_bytes(8, "little") + header + body
    record = json.loads(header)
    name = draw.choice(sorted(set(record) - {"__metadata__"}) or ["x"])
    one = record.setdefault(name, {})
    if kind == 1:
        one["dtype"] = draw.choice(("F8_E4M3", "F8_E5M2", "BF16", "F16", "F4", "C64", "U64", "BOOL", "", "x", None, 3))
    elif kind == 2:
        hostile = ([2**63], [2**64 - 1, 2], [-1], [], [0], [1] * 100, None, 3, ["x"], [2**32, 2**32], [1.5], [True])
        one["shape"] = draw.choice(hostile)
    elif kind == 3:
        one["data_offsets"] = draw.choice(
            ([0, 0], [0, 2**63], [-8, 0], [8, 0], [0], None, [0, len(body) * 2], ["a", 1])
        )
    elif kind == 4:
        record["__metadata__"] = draw.choice((None, 3, [], {"format": None}, {"format": "pt", "x": 10**400 % 97}))
    elif kind == 5:
        body = draw.choice((b"", body[:-1], body + b"\0" * 8, body * 2))
    elif kind == 6:
        text = _filled(json.dumps(_changed(record, draw, _RAWS)), _RAWS, '"').encode()
        return len(text).to_bytes(8, "little") + text + body
    else:  # bfloat16 or float8 in fact, with as many bytes as they take
        kinds = {"BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
        dtype = draw.choice(sorted(kinds))
        at = 0
        for key, value in record.items():
            if key != "__metadata__":
                count = int(np.prod(value["shape"], dtype=np.int64)) * kinds[dtype]
                value |= {"dtype": dtype, "data_offsets": [at, at + count]}
                at += count
        body = draw.randbytes(at) if draw.random() < 0.5 else b"\0" * at
    text = json.dumps(record).encode()
    return len(text).to_bytes(8, "little") + text + body
