"""Embedders, retrievers and rerankers, a file per family; imported only when one is built."""
