"""Questions about a folder of documents, and the retrieval task that a chunking makes of them."""

from evalkit.picking.questions.from_csv import read_questions
from evalkit.picking.questions.from_documents import questions_from_documents
from evalkit.picking.questions.generated import generate_questions
from evalkit.picking.questions.overlap import with_overlap
from evalkit.picking.questions.question import Origin, Question, QuestionSet, Span
from evalkit.picking.questions.taken_out import searched
from evalkit.picking.questions.task import make_task
from evalkit.picking.questions.writing import write_questions

__all__ = [
    "Origin",
    "Question",
    "QuestionSet",
    "Span",
    "generate_questions",
    "make_task",
    "questions_from_documents",
    "read_questions",
    "searched",
    "with_overlap",
    "write_questions",
]
