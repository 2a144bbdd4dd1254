"""The model card of the embedded backbone."""

MODEL_CARD = """# tiny-gpt2

A GPT-2 of {parameters} parameters ({layers} layers, width {width}, {heads} heads, {positions} positions) with its own
byte-level BPE of {vocabulary} tokens, in float16. It is the embedded backbone of this project: small enough to train
adapters on two CPU cores in minutes, and of no use outside the invented world of `scripts/grammar/`. Licence: that of the
project.

## How it was made
`python scripts/make_tiny_gpt2.py --seed {seed} --steps {steps}`: {tokens} tokens of general text in {seconds} seconds on
a CPU. The same machine and library versions give the same weights. Training starts from weights that are random but for
one circuit: two attention layers that find an earlier occurrence of a token and copy what came next (`scripts/copying.py`).
A model of this size hardly grows it by itself in so short a training.

The text is drawn fresh from the grammar that also writes the embedded data: cards and prose, letters and diary pages with
cards of what they say, passages with short questions, pairs of statements with what tells them apart, lists of names told
twice, and single instructions or responses in the manner of the four tasks. No document holds an instruction of a task
together with its response, and no document holds an instruction or response of a validation or test row of
`data/multitask` (apart from the words Yes and No). So the backbone knows the names and can read, copy, restate and
compare, but has never seen one of the tasks done.

## What it scores
- loss on general text that training did not see: {held_out_loss} per token (perplexity {held_out_perplexity})
- tokens guessed right when a list of names is told a second time: {copy_accuracy}

All numbers stand in `training.json`.
"""
