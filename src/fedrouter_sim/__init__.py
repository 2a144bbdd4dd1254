"""FedRouter (arXiv 2604.00050): task-centric federated fine-tuning of language models, simulated in one process."""

__version__ = "0.1.0"
