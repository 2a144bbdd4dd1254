"""FAISS k-means, the normalisation of embeddings, and the clustering across clients."""
