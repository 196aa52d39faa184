"""Docstrings in three styles give a description and a text per parameter."""

from __future__ import annotations

import pytest

from agentrun._docstrings import Docstring, DocstringStyle, detect_style, parse_docstring

GOOGLE = """Find things.

    In all
    shelves.

    Args:
        query (str): Words to look for.
        limit: Most results,
            at least one.

            A second paragraph.
        *names: More names.
        **options: More options.
        empty:

    Returns:
        What: it found.
    """

NUMPY = """Find things.

    In all
    shelves.

    Parameters
    ----------
    query : str
        Words to look for.
    limit : int, optional
        Most results,
        at least one.

        A second paragraph.
    *names
        More names.
    **options : dict
        More options.
    empty : int

    Returns
    -------
    str
        What it found.
    """

SPHINX = """Find things.

    In all
    shelves.

    :param str query: Words to look for.
    :param limit: Most results,
        at least one.

        A second paragraph.
    :type limit: int
    :param *names: More names.
    :param \\\\**options: More options.
    :param empty:
    :returns: What it found.
    :raises ValueError: never
    """

EXPECTED = Docstring(
    "Find things.\n\nIn all\nshelves.",
    {
        "query": "Words to look for.",
        "limit": "Most results,\nat least one.\n\nA second paragraph.",
        "names": "More names.",
        "options": "More options.",
    },
)


@pytest.mark.parametrize(("text", "style"), [(GOOGLE, "google"), (NUMPY, "numpy"), (SPHINX, "sphinx")])
def test_all_three_styles_say_the_same(text: str, style: DocstringStyle) -> None:
    assert detect_style(text.replace("\n    ", "\n")) == style
    assert parse_docstring(text) == parse_docstring(text, style) == EXPECTED


@pytest.mark.parametrize("text", [None, "", "  \n "])
def test_no_docstring_says_nothing(text: str | None) -> None:
    assert parse_docstring(text) == Docstring(None, {})


def test_a_docstring_without_sections_is_all_description() -> None:
    assert parse_docstring("Do it: now.\n\nUsage:\nthis is a sentence.") == Docstring(
        "Do it: now.\n\nUsage:\nthis is a sentence.", {}
    )


def test_sections_alone_give_no_description() -> None:
    assert parse_docstring("Args:\n    x: the x") == Docstring(None, {"x": "the x"})


def test_a_section_needs_no_empty_line_above_it() -> None:
    assert parse_docstring("Do it.\nArgs:\n    x: the x") == Docstring("Do it.", {"x": "the x"})


def test_text_between_sections_belongs_to_its_section() -> None:
    text = "Do it.\n\nNote:\n    Careful.\n\nMore text.\n\nArgs:\n    x: the x"
    assert parse_docstring(text) == Docstring("Do it.", {"x": "the x"})


def test_a_google_type_may_hold_brackets_and_colons() -> None:
    text = "Args:\n    f (Callable[[int], dict[str, int]], optional): a function: yes\n    g (dict(a: int)): odd"
    assert parse_docstring(text).params == {"f": "a function: yes", "g": "odd"}


def test_numpy_parameters_can_share_a_text() -> None:
    assert parse_docstring("Parameters\n----------\nx, y : int\n    Both.").params == {"x": "Both.", "y": "Both."}


def test_attributes_of_a_class_are_parameters() -> None:
    assert parse_docstring("A class.\n\nAttributes:\n    a: the a").params == {"a": "the a"}
    assert parse_docstring("A class.\n\n:ivar a: the a").params == {"a": "the a"}


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("No marks.", "google"),
        ("Args:\n    x: y\n\n:param x: y", "sphinx"),
        ("Parameters\n----------\nx\n\nArgs:\n    x: y", "numpy"),
        ("Args:\n    x: y\n\nReturns:\n    y\n\n:param x: y", "google"),
        ("Parameters\n---\nx\n\n:param x: y", "sphinx"),
    ],
)
def test_the_style_with_the_most_marks_wins_and_ties_go_sphinx_numpy_google(text: str, style: DocstringStyle) -> None:
    assert detect_style(text) == style


def test_lines_that_describe_no_parameter_are_left_out() -> None:
    assert parse_docstring("Args:\n    what this is\n    x: the x\n    (y): odd").params == {"x": "the x"}
    assert parse_docstring("D.\n\nParameters\n----------\n...\n    odd\nx : int\n    the x").params == {"x": "the x"}
    assert parse_docstring("Do.\n\nParameters\n----------\n").params == {}
    assert parse_docstring("Do.\n\nArgs:\n\n    x: the x\n\nRaises:\n").params == {"x": "the x"}


def test_the_style_can_be_forced() -> None:
    text = "Do it.\n\nArgs:\n    x: google\n\n:param x: sphinx"
    assert parse_docstring(text, "google").params == {"x": "google"}
    assert parse_docstring(text, "sphinx").params == {"x": "sphinx"}
