"""The one frozen language model in memory: loading, tokens, training, embedding and answering."""
