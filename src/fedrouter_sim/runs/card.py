"""The card of an exported adapter: what it is, what it was trained on, and how it wants to be asked."""

import json
from pathlib import Path

from fedrouter_sim.backbone.prompts import CHAT_TEMPLATE
from fedrouter_sim.examples.sources import TRAINED_ELSEWHERE
from fedrouter_sim.examples.templates import TEMPLATES
from fedrouter_sim.federation.plan import Pool
from fedrouter_sim.routing import FIXED, GLOBAL, LOCAL
from fedrouter_sim.runs.cells import has_answers, read_answers
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.showing import plain


def card_of(run: Run, pool: Pool, merged: bool, mixed: bool) -> str:
    """Return the text of README.md.

    Of a run with differential privacy it has neither the seed, with which the noise is taken off again, nor counts of
    rows, which have none.

    Args:
        run: where the adapter is from.
        pool: whose adapter it is.
        merged: whether it was merged into the backbone.
        mixed: whether the run answers by several adapters at once.
    """
    config = run.config
    what = "the base model with a LoRA adapter merged into its weights" if merged else "a LoRA adapter (PEFT)"
    lines = [
        "---",
        *_front(run, merged),
        "---",
        "",
        f"# {pool.name} of {run.folder.resolve().name}",
        "",
        f"This is {what}, {_origin(run)}, made by fedrouter-sim.",
        "",
        f"- Base model: `{config.model}` (SHA-256 of weights, configuration and tokenizer: "
        f"`{run.manifest.get('backbone_sha256')}`)",
        f"- LoRA: rank {config.lora_rank}, alpha {config.lora_alpha:g}",
        _trained_on(run, pool),
        f"- Answers: at most {pool.answer_tokens} tokens; greedy; they end with "
        + ("the token that ends a turn" if config.template == CHAT_TEMPLATE else "EOS"),
        *(["- Scores of the run are not its alone: the run answers by mixtures of its adapters"] if mixed else []),
        "",
        *_prompt(config.template),
        "",
    ]
    return plain("\n".join(lines))


def _front(run: Run, merged: bool) -> list[str]:
    model = run.config.model
    front = ["library_name: " + ("transformers" if merged else "peft"), "tags: [lora, federated-learning, fedrouter]"]
    if not Path(model).exists() and "/" in model:  # a card may name models of the Hub only
        front.append(f"base_model: {json.dumps(model)}")
    return front


def _origin(run: Run) -> str:
    config = run.config
    if config.data == TRAINED_ELSEWHERE:
        return f"from {config.clients} clients that trained elsewhere"
    seed = "" if config.dp_epsilon else f", seed {config.seed}"
    return (
        f"from a simulated federation: method {run.summary.method}, split {config.split}, {config.clients} clients, "
        f"{config.rounds} rounds{seed}"
    )


def _trained_on(run: Run, pool: Pool) -> str:
    config = run.config
    if config.dp_epsilon:
        return f"- Differential privacy of each client: epsilon {config.dp_epsilon:g}, delta {config.dp_delta:g}"
    counts = run.truth.pools.get(pool.name, {}) if run.truth else {}
    trained = ", ".join(f"{label} {count}" for label, count in counts.items())
    return f"- Training examples by label, for those who measure: {trained or 'unknown'}"


def answers_by_mixtures(run: Run) -> bool:
    """Say whether any answer that the run was scored by is of several adapters at once, which none gives alone.

    Raises:
        UserError: the run's answers are damaged.
    """
    cells = [cell for cell in run.cells() if not (cell.router or cell.under) and cell.routing in (FIXED, GLOBAL, LOCAL)]
    there = [cell for cell in cells if has_answers(run.folder, cell)]
    return any(row.get("weights") for cell in there for row in read_answers(run.folder, cell))


def _prompt(template: str) -> list[str]:
    if template == CHAT_TEMPLATE:
        return [
            "It was trained with the chat template of its tokenizer: the turns before an answer, or the instruction "
            "as the user's one turn.",
            "",
        ]
    text = TEMPLATES.get(template, template)
    lines = [f"    {line}".rstrip() for line in text.split("\n")]
    return ["It was trained with this prompt, and the answer follows at once:", "", *lines]
