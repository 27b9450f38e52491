"""Questions about a folder of documents, and the retrieval task that a chunking makes of them."""

from evalkit.picking.questions._checked import Checked, check_questions
from evalkit.picking.questions._from_csv import read_questions
from evalkit.picking.questions._from_documents import questions_from_documents, searched
from evalkit.picking.questions._generated import generate_questions
from evalkit.picking.questions._question import Origin, Question, QuestionSet, Span, write_questions
from evalkit.picking.questions._task import make_task
from evalkit.picking.questions.overlap import with_overlap

__all__ = [
    "Checked",
    "Origin",
    "Question",
    "QuestionSet",
    "Span",
    "check_questions",
    "generate_questions",
    "make_task",
    "questions_from_documents",
    "read_questions",
    "searched",
    "with_overlap",
    "write_questions",
]
