"""Prompt templates of text: ours and the user's."""

TEMPLATES = {
    # The template of Stanford Alpaca, which the paper uses.
    "alpaca": "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
    "\n\n### Instruction:\n{instruction}\n\n### Response:\n",
    "plain": "{instruction}\n",
}


def render_prompt(template: str, instruction: str) -> str:
    """Return the text before the response; `template` is a name of `TEMPLATES` or a text with {instruction}."""
    return TEMPLATES.get(template, template).replace("{instruction}", instruction)
