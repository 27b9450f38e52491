"""From a comparison to a LlamaIndex pipeline: run a small grid, put the best cell to work, and ask it.

Needs `pip install '.[demo,llamaindex]'` in a clone; no account, no network. `python examples/llamaindex_pipeline.py`
"""

from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine

import evalkit
from evalkit.integrations.llamaindex import EvalkitEmbedding, best_retriever, task_nodes

QUESTION = "How often should the alignment of a Newtonian's mirrors be checked?"


def main() -> None:
    """Compare on the bundled task, then ask the winner by its retriever, a query engine and a vector index."""
    results = evalkit.run(
        models=["tfidf", "all-MiniLM-L6-v2"],
        rerankers=["bm25", "all-MiniLM-L6-v2"],
        tasks="rag-mini",
        max_queries=60,
        device="cpu",
    )
    best = results.leaderboard().iloc[0]
    print(f"best: {best['model']}, reranker {best['reranker']}, nDCG@5 {best['nDCG@5']:.4f}")

    # The cell as it was run, over nodes of your own; here those of the task.
    nodes = task_nodes("rag-mini")
    retriever = best_retriever(results, nodes)
    for found in retriever.retrieve(QUESTION):
        print(f"{found.score:.4f} {found.node.node_id}: {found.node.get_content()[:60]}")

    # Wherever LlamaIndex takes a retriever. Set your LLM in place of MockLLM, and leave out response_mode.
    Settings.llm = MockLLM()
    engine = RetrieverQueryEngine.from_args(retriever, response_mode="no_text")
    print("query engine:", ", ".join(source.node.node_id for source in engine.query(QUESTION).source_nodes))

    # The embedder alone, in an index of LlamaIndex's own.
    index = VectorStoreIndex(nodes, embed_model=EvalkitEmbedding("all-MiniLM-L6-v2", device="cpu"))
    top = index.as_retriever(similarity_top_k=5).retrieve(QUESTION)
    print("vector index:", ", ".join(found.node.node_id for found in top))


if __name__ == "__main__":
    main()
