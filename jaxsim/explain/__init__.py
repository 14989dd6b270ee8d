"""The documentation that comes with the package: one Markdown file per topic.

`jaxsim explain TOPIC` prints a file; its first line is its heading, "# What the topic is about".
"""

from __future__ import annotations

import re
from importlib import resources

from jaxsim.errors import unknown

TOPICS: tuple[str, ...] = tuple(
    sorted(
        entry.name.removesuffix(".md")
        for entry in resources.files(__name__).iterdir()
        if entry.name.endswith(".md")
    )
)


def topic_text(topic: str) -> str:
    """Return the Markdown text of a topic.

    Raises:
        InputError: for a topic that does not exist.

    Example:
        >>> topic_text("numbers").splitlines()[0]
        '# What the numbers mean: probabilities, risks, optima and their evidence'
    """
    if topic not in TOPICS:
        raise unknown("topic", topic, TOPICS)
    text = resources.files(__name__).joinpath(f"{topic}.md").read_text(encoding="utf-8")
    return re.sub(r"<!--.*?-->\n+", "", text)  # marks of tables, see `jaxsim.explain.tables`


def overview() -> str:
    """Return a list of the topics, one line each, as Markdown.

    Example:
        >>> overview().splitlines()[2]
        '- `architecture`: How the code is organized, and how to extend it'
    """
    lines = [f"- `{topic}`: {topic_text(topic).splitlines()[0][2:]}" for topic in TOPICS]
    return "\n".join(["Topics of `jaxsim explain TOPIC`:", "", *lines]) + "\n"
