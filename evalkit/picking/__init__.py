"""From a folder of documents and questions to a model, reranker and chunking that can be recommended."""
