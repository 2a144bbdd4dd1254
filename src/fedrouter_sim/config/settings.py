"""The settings of a run: one frozen dataclass, filled from defaults, a preset, a TOML file and flags, in that order.

Each setting is declared once, here, with its type, default, help text and limits. The command line derives its flags
from the declaration, the TOML file uses the same names, and `RUN/config.toml` is written from it.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import tomli_w

from fedrouter_sim.config.declaring import check_limits, flag, setting
from fedrouter_sim.config.together import check_together
from fedrouter_sim.config.words import (
    ANSWER,
    AUTO,
    BY_CLIENTS,
    COSINE,
    COUNT,
    LAST,
    LATE,
    NONE,
    NORMALIZATIONS,
    ON_BAD_ROW,
    STANDARDIZE,
    UNSEEN_ANSWERS,
)

_COMPARISON = "Comparison"
_DATA = "Data"
_BACKBONE = "Backbone and adapters"
_FEDERATION = "Federation"
_FAILING = "Failing and hostile clients"
_CLUSTERING = "Clustering and routing"
_METHODS = "Single methods"
_PRIVACY = "Privacy"
_EVALUATION = "Evaluation"

MOST_CLIENTS = 10**7
"""More than any data set has rows for."""


@dataclass(frozen=True)
class RunConfig:
    """All settings of a training run. Defaults suit the embedded data and backbone on two processor cores.

    Raises:
        UserError: a value is outside its limits, or two settings contradict each other; the message names the flags.
    """

    method: str = setting(_COMPARISON, "fedrouter", "Federated method.", table="methods")
    option: tuple[str, ...] = setting(
        _COMPARISON, (), "Setting of a method, split, rule, affinity, router, attack or metric: name=value. Repeatable."
    )
    metric: str = setting(
        _COMPARISON, "rouge1", "The metric that tables, pages and claims show first; all are kept.", table="metrics"
    )
    seed: int = setting(_COMPARISON, 42, "Seed of every random draw of the run.", least=0)

    data: str = setting(
        _DATA,
        "multitask",
        "Examples: 'multitask' (embedded), a folder with train and test files, one file, 'paper' (the paper's four "
        "data sets), or a data set of the Hub as org/name or org/name:config.",
    )
    hub_folder: str = setting(
        _DATA, "", "Folder with copies of Hub data sets, as FOLDER/org/name, that is read in place of the Hub."
    )
    format: str = setting(
        _DATA,
        "auto",
        "How a row becomes an example. columns: a column for each field; chat: a column of turns, of which the last "
        "answer is the response; chat-each: an example for every answer; pairs: prompt and completion; auto: what fits "
        "the columns.",
        table="row formats",
    )
    instruction_column: tuple[str, ...] = setting(
        _DATA,
        (),
        "Column that holds the instruction; several are joined by a blank line. Repeatable. None: 'instruction', with "
        "'system' before and 'context' and 'input' after it where the data has them.",
    )
    response_column: str = setting(_DATA, "response", "Column that holds the response.")
    task_column: str = setting(_DATA, "task", "Column that holds the task label (for partitioning and measuring).")
    client_column: str = setting(_DATA, "client", "Column that names the client of a row (for --split natural).")
    on_bad_row: str = setting(
        _DATA,
        ON_BAD_ROW[0],
        "What happens to rows that cannot be used, such as those without a response or with one that does not fit: "
        "refuse the data, or leave them out and say how many.",
        choices=ON_BAD_ROW,
    )
    clients: int = setting(_DATA, 10, "Number of clients.", least=1, most=MOST_CLIENTS)
    split: str = setting(
        _DATA,
        "dual",
        "How rows are assigned to clients: one task each, two each, all (IID), Dirichlet mixtures, or natural: as the "
        "data's client column says.",
        table="splits",
    )
    alpha: float = setting(_DATA, 0.5, "Concentration of --split dirichlet; smaller is more skewed.", above=0, most=1e9)
    hold_out: tuple[str, ...] = setting(
        _DATA, (), "Task that is held back from all clients and scored at the end. Repeatable."
    )
    examples_per_client: int = setting(_DATA, 600, "The most training examples that a client holds.", least=1)
    test_examples_per_client: int = setting(_DATA, 50, "The most test examples per client and cell.", least=1)

    model: str = setting(
        _BACKBONE,
        "tiny-gpt2",
        "Backbone: 'tiny-gpt2' (embedded), 'smollm2-135m' (after `make smollm2`), 'gemma3-270m' (after `make gemma3`), "
        "a local folder, a GGUF file, or a Hub id.",
    )
    template: str = setting(
        _BACKBONE,
        "alpaca",
        "Prompt template: 'alpaca', 'plain', 'chat' (the tokenizer's own), or a text that holds {instruction}.",
    )
    max_tokens: int = setting(
        _BACKBONE, 512, "Most tokens of prompt and response together; longer instructions are cut.", least=8
    )
    dtype: str = setting(
        _BACKBONE,
        "auto",
        "Data type of the frozen base; auto: that of the faster measured step. Adapters are always float32.",
        choices=("auto", "float32", "bfloat16"),
    )
    device: str = setting(
        _BACKBONE,
        "auto",
        "Where the backbone computes; auto: CUDA where there is a card.",
        choices=("auto", "cpu", "cuda"),
    )
    quantize: str = setting(
        _BACKBONE,
        "none",
        "Load the frozen base in 4 bits (NF4; CUDA only, needs the extra '4bit').",
        choices=("none", "4bit"),
    )
    lora_rank: int = setting(_BACKBONE, 8, "Rank r of the LoRA factors.", least=1, most=2**16)
    lora_alpha: float = setting(_BACKBONE, 16.0, "LoRA scale: the update is (alpha / r) B A.", above=0)
    lora_dropout: float = setting(_BACKBONE, 0.05, "Dropout on the input of the LoRA factors.", least=0, most=0.99)
    lora_targets: tuple[str, ...] = setting(
        _BACKBONE, (), "Names of the modules that LoRA adapts, or 'all-linear'. Repeatable. None: PEFT's choice."
    )
    lora_layers: int = setting(
        _BACKBONE, 0, "Layers, from the top, with adapters; what others make of a row is kept; 0: all.", least=0
    )

    rounds: int = setting(_FEDERATION, 8, "Communication rounds R.", least=1)
    participation: float = setting(_FEDERATION, 1.0, "Share of the clients sampled for a round.", above=0, most=1)
    local_steps: int = setting(_FEDERATION, 10, "Optimizer steps of a client in a round (see --budget).", least=1)
    budget: str = setting(
        _FEDERATION,
        "shared",
        "'shared': the client's groups share its local steps; 'per-group': each group takes all of them (the paper).",
        choices=("shared", "per-group"),
    )
    drift_at: int = setting(
        _FEDERATION,
        0,
        "Round from which on clients hold the mixtures of --drift-to; rounds + 1: only the test data drifts; 0: never.",
        least=0,
    )
    drift_to: str = setting(
        _FEDERATION, NONE, "The split that clients' data drift to; none: no drift.", beside=(NONE,), table="splits"
    )
    drift_brings: tuple[str, ...] = setting(
        _FEDERATION, (), "Task that no client holds before the drift, and that is part of what it brings. Repeatable."
    )
    aggregation: str = setting(
        _FEDERATION,
        "mean",
        "How the updates of a pool become its adapter: mean of A and of B (FedAvg); mean of the products B A, brought "
        "back to the rank; or by a rule that a few hostile clients do not move far, median, trimmed-mean (--option "
        "trim=0.1 at each end), krum (--option attackers=0.2) or geometric-median.",
        table="aggregation rules",
    )
    sharing: str = setting(
        _FEDERATION, "affinity", "What tasks take of each other, at the server (--option power=2, keep=1); or none.",
        beside=(NONE,), table="sharing rules",
    )  # fmt: skip
    clip_update: float = setting(
        _FEDERATION,
        0.0,
        "L2 norm to which the server scales an update's change of its pool's adapter down where it is above; 0: never.",
        least=0,
    )
    batch_size: int = setting(_FEDERATION, 16, "Examples in a batch.", least=1)
    lr: float = setting(
        _FEDERATION, 2e-2, "Learning rate of the first round; cosine over rounds down to --lr-min.", above=0
    )
    lr_scaling: str = setting(
        _FEDERATION, BY_CLIENTS, "clients: an adapter that k of n clients train takes --lr times sqrt(k / n); none: "
        "all take --lr.", choices=(BY_CLIENTS, NONE),
    )  # fmt: skip
    lr_min: float = setting(
        _FEDERATION,
        None,
        "Learning rate towards which the cosine falls.",
        least=0,
        derive=lambda config: min(1e-4, config.lr / 100),
        rule="0.0001, or a hundredth of --lr where that is less",
    )
    weight_decay: float = setting(_FEDERATION, 0.0, "AdamW weight decay.", least=0)
    clip: float = setting(_FEDERATION, 1.0, "Gradient norm at which gradients are clipped.", above=0)

    client_dropout: float = setting(
        _FAILING, 0.0, "Chance that a client vanishes in a round: it trains, and sends nothing.", least=0, most=1
    )
    stragglers: float = setting(
        _FAILING, 0.0, "Chance that a client's updates of a round come a round late.", least=0, most=1
    )
    late: str = setting(_FAILING, COUNT, "Late updates count in the round they come in, or are dropped.", choices=LATE)
    min_participants: int = setting(
        _FAILING, 0, "Clients whose updates a round needs; with fewer it changes no adapter that is shared.", least=0
    )
    attack: str = setting(
        _FAILING, NONE, "The lie that hostile clients send; none: all are honest.", beside=(NONE,), table="attacks"
    )
    attackers: float = setting(
        _FAILING, 0.2, "Share of the clients that are hostile under --attack, drawn by the seed.", least=0, most=1
    )

    tasks: int | str = setting(
        _CLUSTERING,
        AUTO,
        "Task clusters T, and so task adapters, at the server (clustered: pools of clients); auto: as many as "
        "--affinity and --cut find.",
        least=1,
        words=(AUTO,),
    )
    local_clusters: int | str = setting(
        _CLUSTERING,
        None,
        "Local clusters k_l that a client splits its examples into; auto: 6, or one for each 60 examples up to 10, "
        "which are linked to tasks again.",
        least=1,
        words=(AUTO,),
        derive=lambda config: AUTO if config.tasks == AUTO else 2,
        rule="auto, or 2 where --tasks is a number",
    )
    affinity: str = setting(
        _CLUSTERING,
        None,
        "What local clusters are linked by: the sketches of their gradients at the common start, their centroids, "
        "their updates of a first round, or gradients and centroids.",
        table="affinities",
        derive=lambda config: "both" if config.tasks == AUTO else "centroid",
        rule="both, or centroid where --tasks is a number",
    )
    cut: float | str = setting(
        _CLUSTERING, AUTO, "Affinity above which local clusters are one task on average, for --tasks auto; auto: by "
        "how alike unrelated tasks are to the backbone.", least=-1, most=1, words=(AUTO,), number=float,
    )  # fmt: skip
    embedding: int | str = setting(
        _CLUSTERING,
        LAST,
        "Layer whose hidden states, averaged over its tokens, embed a text: a number, last (after the final norm), or "
        "auto: the one of four by which clients' local clusters agree best in their gradients.",
        least=1,
        words=(LAST, AUTO),
    )
    robust_clustering: float = setting(
        _CLUSTERING, 0.0, "Share of local clusters set aside: those that fewest clients have like ones of.", least=0,
        most=0.5,
    )  # fmt: skip
    normalize: str = setting(
        _CLUSTERING,
        None,
        "Normalisation of embeddings before clustering and routing; cosine: standardised, then of unit length.",
        choices=NORMALIZATIONS,
        derive=lambda config: COSINE if config.tasks == AUTO else STANDARDIZE,
        rule="cosine, or standardize where --tasks is a number",
    )
    router: str = setting(
        _CLUSTERING,
        None,
        "How the router chooses among tasks: by their centroids, or several prototypes a task; soft: mixes the "
        "nearest; ensemble: averages their answers; knn: local centroids vote; arrow: every token weighs the adapters.",
        table="routers",
        derive=lambda config: "prototypes" if config.tasks == AUTO else "centroid",
        rule="centroid, or prototypes where --tasks is auto",
    )
    unseen: str = setting(
        _CLUSTERING,
        ANSWER,
        "What answers a text that is unlike what all tasks were made of: the nearest adapter; the bare backbone; a mix "
        "of both, half and half.",
        choices=UNSEEN_ANSWERS,
    )

    fedprox_mu: float = setting(
        _METHODS, 0.01, "fedprox: weight mu of mu / 2 times the squared distance to the global adapter.", least=0
    )
    ditto_lambda: float = setting(
        _METHODS, 0.1, "ditto: weight lambda of lambda / 2 times the squared distance to the global adapter.", least=0
    )
    warmup_rounds: int = setting(
        _METHODS,
        None,
        "clustered: rounds of FedAvg before the clients are grouped, once.",
        least=1,
        derive=lambda config: max(1, min(2, config.rounds - 1)),
        rule="2, or 1 where --rounds is less than 3",
    )

    dp_epsilon: float = setting(
        _PRIVACY, 0.0, "Epsilon of differential privacy of clients, for all that they send; 0: none.", least=0
    )
    dp_delta: float = setting(_PRIVACY, 1e-5, "Its delta, below 1 / --clients.", above=0, most=0.5)
    dp_clip: float = setting(_PRIVACY, 1.0, "L2 norm of all of a client's updates of a round together.", above=0)

    eval_every: int = setting(
        _EVALUATION, 0, "Evaluate every so many rounds besides the end; 0: only at the end.", least=0
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and (derive := field.metadata["derive"]):
                value = derive(self)
                object.__setattr__(self, field.name, value)
            if isinstance(value, str) and isinstance(field.default, tuple):  # one name, not a letter each
                object.__setattr__(self, field.name, (value,) if value else ())
            check_limits(f"{flag(field.name)} {value}", field, value)
        check_together(self)

    @classmethod
    def build(cls, *layers: Mapping[str, Any]) -> Self:
        """Merge layers of settings over the defaults; a later layer wins."""
        return cls(**{key: value for layer in layers for key, value in layer.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, tuples as lists."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}

    def to_toml(self) -> str:
        """Return the settings as the text of a TOML file that `read_settings` takes back unchanged."""
        return tomli_w.dumps(self.to_dict())


def with_value(name: str, value: Any) -> str:
    """Return a setting's flag and value for a message, which says where that is the default: nobody asked for it."""
    default = RunConfig.__dataclass_fields__[name].default
    return f"{flag(name)} {value}{' (the default)' if value == default else ''}"
