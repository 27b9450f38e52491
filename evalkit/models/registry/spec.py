"""Model specs: one string <-> one frozen value, `FAMILY:NAME?option=value&...`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, get_args
from urllib.parse import quote, unquote

from pydantic import AliasChoices, ValidationError

from evalkit.errors import SpecError, UnknownNameError, did_you_mean
from evalkit.models.registry.families import TRAIN, families
from evalkit.models.registry.options import Options
from evalkit.secrets import is_secret

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# What has a meaning in a spec or in a list of specs, and outer blanks, which a reader would strip.
_RESERVED = re.compile(r"[%?&=,|()\[\]\x00-\x1f\x7f]|^\s+|\s+$")


@dataclass(frozen=True)
class ModelSpec:
    """A model: its family, its name in that family ("" if it takes none), and its options.

    `str()` prints the one canonical form (options that differ from the default, sorted by name);
    `parse_spec` reads it back to an equal value.
    """

    family: str
    name: str
    options: Options

    @property
    def learns(self) -> bool:
        """Whether the model has no weights of its own: it learns from the task's corpus."""
        family = families()[self.family]
        return family.learns or (family.trains and self.name == TRAIN)

    def __str__(self) -> str:
        head = f"{self.family}:{_escape(self.name)}" if self.name else self.family
        return head + options_text(self.options)


def parse_spec(text: str) -> ModelSpec:
    """Read a spec string.

    Raises UnknownNameError for a family that does not exist and SpecError for everything else that is
    wrong with it, with all wrong options in one message.
    """
    refuse_secrets(text)
    head, _, query = text.lstrip().partition("?")
    head = head.strip()
    family_name, _, name = head.partition(":")
    family = families().get(family_name)
    if family is None:
        raise UnknownNameError(
            f"unknown model family {family_name!r} in {text!r}. {did_you_mean(family_name, families())}"
        )
    name = unquote(name)
    if name and family.name_help is None:
        raise SpecError(f"{text!r}: the family {family_name!r} takes no name. Write {family_name!r}.")
    if not name and family.name_help is not None:
        raise SpecError(
            f"{text!r}: the family {family_name!r} needs a name: {family_name}:NAME, a {family.name_help}."
        )
    return ModelSpec(family_name, name, parse_options(text, family.options, query))


def refuse_secrets(text: str) -> None:
    """Raise SpecError, without the value, if an option of this spec is a key: specs are written into results."""
    head, _, query = text.partition("?")
    names = [part.partition("=")[0] for part in query.split("&")]
    if found := [name for name in names if is_secret(name)]:
        raise SpecError(
            f"{head!r}: option {found[0]!r} is a key, and a spec is written into results. Leave it out and set the "
            "environment variable that the model reads."
        )


def expand(text: str) -> list[str]:
    """Return the specs that a sweep stands for: values apart by `|`, as in `dim=64|128&precision=int8|binary`."""
    head, mark, query = text.partition("?")
    choices = [
        [f"{key}{equals}{choice}" for choice in value.split("|")]
        for key, equals, value in (part.partition("=") for part in query.split("&"))
    ]
    return [head + mark + "&".join(chosen) for chosen in product(*choices)]


def parse_options(text: str, options: type[Options], query: str) -> Options:
    """Return the options after the `?` of `text`. Raises SpecError with all that is wrong with them."""
    given: dict[str, str] = {}
    problems: list[str] = []
    for part in query.split("&") if query else []:
        key, equals, value = part.partition("=")
        if not equals:
            before = next(reversed(given), "")
            in_text = before in options.model_fields and _is_text(options, before)
            hint = " (in a value, & is written %26)" if in_text else ""
            if part.startswith(" "):
                hint = " (if it goes on with the text of an option, write the comma before it as %2C)"
            problems.append(f"{part!r} is not option=value{hint}")
        elif key in given:
            problems.append(f"option {key!r} is given twice")
        else:
            given[key] = unquote(value) if _is_text(options, key) else unquote(value).strip()
    allowed = options.model_fields
    if options.model_config.get("extra") != "allow":
        spellings = {*allowed, *_other_spellings(options)}
        unknown = [key for key in given if key not in spellings]
        problems += [f"unknown option {key!r}. {did_you_mean(key, allowed)}" for key in unknown]
        given = {key: given[key] for key in given if key in spellings}
    try:
        parsed = options.model_validate(given)
    except ValidationError as error:
        problems += [_problem(detail, options) for detail in error.errors()]
    if problems:
        raise SpecError(f"{text!r}: " + "; ".join(problems))
    return parsed


def _problem(detail: "ErrorDetails", options: type[Options]) -> str:
    if not detail["loc"]:
        return detail["msg"].removeprefix("Value error, ")
    key = str(detail["loc"][0])
    if detail["type"] == "missing":
        return f"option {key!r} is needed: {options.model_fields[key].description}. Write it as ?{key}=..."
    return f"option {key!r}: {detail['msg']}, got {detail['input']!r}"


def _is_text(options: type[Options], key: str) -> bool:
    """Tell whether an option is any text, blanks and all."""
    field = options.model_fields.get(key)
    return field is None or str in (field.annotation, *get_args(field.annotation))


def _other_spellings(options: type[Options]) -> Iterator[str]:
    """Give the names that a family takes beside those it prints: "stopwords" for "stop_words"."""
    for field in options.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            yield from (str(choice) for choice in field.validation_alias.choices)


def options_text(options: Options) -> str:
    """Tell what is after the head of a spec: "?" and the options that differ from the default, sorted by name."""
    given = sorted(options.model_dump(exclude_defaults=True).items())
    tail = "&".join(f"{key}={_escape(_text(value))}" for key, value in given)
    return f"?{tail}" if tail else ""


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _escape(text: str) -> str:
    return _RESERVED.sub(lambda match: quote(match.group(), safe=""), text)
