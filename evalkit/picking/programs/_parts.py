"""The text that programs are put together from; `$name` is filled in."""

from string import Template

HEADER = Template('''\
"""Search the documents with $choice, as `evalkit pick` measured it.

    python $file "your question"

Needs: pip install $packages
"""

$imports
$constants
''')

MAIN = """\
if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for id, score, text in search(" ".join(sys.argv[1:])):
        print(f"{score:.3f}  {id}\\n{text}\\n")
"""

READ = Template('''\
def read_chunks():
    """Return the id and the text of each chunk of the documents, last id first, which is the order of equal scores.

    A file that is as it was when it was measured has the chunks that were measured; others are cut here.
    """
    measured = defaultdict(list)
    with CHUNKS.open(encoding="utf-8") as lines:
        for chunk in map(json.loads, lines):
            measured[chunk["file"], chunk["sha256"]].append((chunk["id"], chunk["text"]))
    chunks = []
    for path in sorted(DOCUMENTS.rglob("*")):
        name = path.relative_to(DOCUMENTS).as_posix()
        if path.is_symlink() or not path.is_file() or any(part.startswith(".") for part in name.split("/")):
            continue
        known = measured.get((name, sha256(path.read_bytes()).hexdigest()))
        if known is None:
            text = read_text(path)
            known = [(f"{name}#{number}", piece) for number, piece in enumerate(cut(text) if text.strip() else [])]
        chunks += known
    if not chunks:
        sys.exit(f"There are no documents in {DOCUMENTS}: set DOCUMENTS in {__file__} to their folder.")
    return sorted(chunks, reverse=True)


def read_text(path):
    """Return the text of a new file. For other formats than plain text in UTF-8, add how they are read here."""
    try:
        if path.suffix.lower() in (".txt", ".md", ".markdown"):
            return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    print(f"{path} is left out: it was not measured, and is no plain text in UTF-8.", file=sys.stderr)
    return ""


$cut
''')

FIRST_K = '''\
def handed_on(found):
    """Return the results that are handed on: the first TOP_K."""
    return found[:TOP_K]
'''

FIRST_TOKENS = '''\
def handed_on(found):
    """Return the results that are handed on: the first ones that have at most CONTEXT_TOKENS tokens together."""
    from llama_index.core.utils import get_tokenizer

    tokenize, kept, tokens = get_tokenizer(), [], 0
    for result in found:
        tokens += len(tokenize(result[2]))
        if tokens > CONTEXT_TOKENS:
            break
        kept.append(result)
    return kept
'''

OPEN_INDEX = '''\
def open_index(chunks):
    """Return the folder with the index of these chunks, as this program makes it; it is made if it is not there."""
    key = sha256(json.dumps([Path(__file__).read_text(encoding="utf-8"), chunks]).encode()).hexdigest()[:16]
    folder, unfinished = INDEX / key, INDEX / f"{key}-unfinished"
    if not folder.exists():
        shutil.rmtree(INDEX, ignore_errors=True)
        unfinished.mkdir(parents=True)
        build(unfinished, chunks)
        unfinished.rename(folder)
    return folder
'''

CUT_WHOLE = '''\
def cut(text):
    """Return the chunks of a text: itself."""
    return [text]'''

CUT = Template('''\
def cut(text):
    """Return the chunks of a text."""
    from llama_index.core.node_parser import SentenceSplitter

    return SentenceSplitter(chunk_size=$size, chunk_overlap=$overlap).split_text(text)''')

CUT_EVALKIT = Template('''\
def cut(text):
    """Return the chunks of a text."""
    from evalkit.picking.documents import Chunking, Folder, SourceFile, split

    folder = Folder(DOCUMENTS, (SourceFile("new.md", text),), (), "")
    return [chunk.content for chunk in split(folder, Chunking($size, $overlap, $chunker))]''')

SENTENCE_TRANSFORMER = Template('''\
@cache
def embedder():
    """Return the model of the vectors, loaded when it is first needed."""
$load


def embed_documents(texts):
    """Return a vector for each text, float32 (n_texts, dim)."""
    return embedder().encode_document(texts$document_prompt)


def embed_query(question):
    """Return the vector of a question, float32 (dim,)."""
    return embedder().encode_query([question]$query_prompt)[0]
''')

STATIC = Template('''\
@cache
def embedder():
    """Return the model of the vectors, loaded when it is first needed."""
    return StaticModel.from_pretrained($arguments)


def embed_documents(texts):
    """Return a vector for each text, float32 (n_texts, dim)."""
    return embedder().encode($documents)$leading


def embed_query(question):
    """Return the vector of a question, float32 (dim,)."""
    return embedder().encode([$query])$leading[0]
''')

VECTORS_SCORES = Template('''\
    def by_vectors(self, question):
        """Return how similar each chunk is to a question ($similarity), float64 (n_chunks,)."""
        query = embed_query(question)
$scores
        return np.where((self.lengths > 0) & query.any(), scores, -np.inf)
''')

# No matrix product: its sums depend on where a row stands, and equal texts would get unequal scores.
_DOTS = '        scores = np.einsum("ij,j->i", self.vectors, query, dtype=np.float64)  # equal texts get equal scores'
_COSINE = f"""\
{_DOTS}
        scores /= np.maximum(self.lengths * np.linalg.norm(query.astype(np.float64)), 1e-300)"""
SIMILARITIES = {
    "cosine": _COSINE,
    "dot": _DOTS,
    "euclidean": "        scores = -np.linalg.norm(self.vectors.astype(np.float64) - query, axis=1)",
    "manhattan": "        scores = -np.abs(self.vectors.astype(np.float64) - query).sum(axis=1)",
}

BM25 = Template('''\
STOP_WORDS = $stop_words$stemmer


def terms(text):
    """Return the words of a text that BM25 counts."""
    return $terms
''')

WORDS_SCORES = '''\
    def by_words(self, question):
        """Return the BM25 score of each chunk, float64 (n_chunks,)."""
        scores = self.bm25.get_scores_from_ids(self.bm25.get_tokens_ids(terms(question)))
        return np.where(scores > 0, scores, -np.inf)
'''

RERANKER = Template('''\
@cache
def reranker():
    """Return the cross-encoder, loaded when it is first needed."""
    return CrossEncoder($arguments)


def rerank(question, texts):
    """Return a score for each text."""
    distinct = list(dict.fromkeys(texts))
    pairs = [(question, text) for text in distinct]
    scores = dict(zip(distinct, reranker().predict(pairs$activation).tolist()))
    return [scores[text] for text in texts]
''')

INDEX = Template('''\
def build(folder, chunks):
    """Make the index of chunks in a folder."""
    texts = [text for _, text in chunks]
$build


class Index:
    """The chunks of all documents, and what they are searched by."""

    def __init__(self):
        self.chunks = read_chunks()
        folder = open_index(self.chunks)
$load

$methods
    def search(self, question):
        """Return the row of each of the best chunks and its score, best first."""
$search


def best(scores, n):
    """Return the rows of the n highest scores, best first; -inf is no result."""
    rows = np.argsort(-scores, kind="stable")[:n]
    return rows[scores[rows] > -np.inf]


index = cache(Index)


def search(question):
    """Return the id, score and text of the best chunks, best first."""
    found = [(*index().chunks[row], score) for row, score in index().search(question)]
    return handed_on([(id, score, text) for id, text, score in found])
''')

BUILD_VECTORS = """\
    distinct = list(dict.fromkeys(texts))
    vectors = dict(zip(distinct, embed_documents(distinct)))
    np.save(folder / "vectors.npy", np.stack([vectors[text] for text in texts]))"""
BUILD_WORDS = Template("""\
    bm25 = bm25s.BM25(method="lucene", k1=$k1, b=$b, dtype="float64")
    bm25.index([terms(text) for text in texts], show_progress=False)
    bm25.save(folder / "bm25", show_progress=False)""")
LOAD_VECTORS = """\
        self.vectors = np.load(folder / "vectors.npy")
        self.lengths = np.linalg.norm(self.vectors.astype(np.float64), axis=1)"""
LOAD_WORDS = '        self.bm25 = bm25s.BM25.load(folder / "bm25", show_progress=False)'

RRF = Template('''\
    def fused(self, question):
        """Return the sum of 1 / ($k + rank) over the lists that have a chunk, float64 (n_chunks,)."""
        total = np.full(len(self.chunks), -np.inf)
        for scores in ($lists):
            rows = best(scores, LIST)
            total[rows] = np.maximum(total[rows], 0) + 1 / ($k + np.arange(1, len(rows) + 1))
        return total
''')
WEIGHTED = Template('''\
    def fused(self, question):
        """Return the weighted sum of scores, each brought to 0 to 1 over its list, float64 (n_chunks,)."""
        total = np.full(len(self.chunks), -np.inf)
        for weight, scores in zip(($weight, 1 - $weight), ($lists)):
            rows = best(scores, LIST)
            if len(rows):
                low, spread = scores[rows].min(), np.ptp(scores[rows])
                scaled = (scores[rows] - low) / spread if spread else 1.0
                total[rows] = np.maximum(total[rows], 0) + weight * scaled
        return total
''')

RANK = Template("""\
        scores = $scores
        rows = best(scores, TOP_K)
        return list(zip(rows.tolist(), scores[rows].tolist()))""")
RANK_RERANKED = Template("""\
        rows = best($scores, CANDIDATES).tolist()
        scores = rerank(question, [self.chunks[row][1] for row in rows]) if rows else []
        return sorted(zip(rows, scores), key=lambda found: -found[1])""")
