"""Questions about a folder of documents, and the retrieval task that a chunking makes of them."""

from evalkit.questions.given import read_questions
from evalkit.questions.question import Question, QuestionSet, Span
from evalkit.questions.task import make_task

__all__ = ["Question", "QuestionSet", "Span", "make_task", "read_questions"]
