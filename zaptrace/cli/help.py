"""zaptrace help: what is refused and what works instead, and the help of a verb."""

from __future__ import annotations

import click

from ..errors import PodError
from ._topics import TOPICS
from ._verbs import HELP, VERBS


@click.command()
@click.argument("topic", metavar="[TOPIC|VERB]", required=False)
@click.pass_context
def command(ctx: click.Context, topic: str | None) -> None:
    """Say what is refused and what works instead, by TOPIC; or how a VERB is used.

    \b
    zaptrace help            the verbs, and the topics
    zaptrace help tcp        connections to outside the pod
    zaptrace help restore    as zaptrace restore --help
    """
    if topic is None:
        click.echo(HELP)
        click.echo("\nTopics, for zaptrace help TOPIC:")
        width = max(len(one.name) for one in TOPICS)
        for one in TOPICS:
            click.echo(f"  {one.name:<{width}}  {one.title}")
        return
    for one in TOPICS:
        if one.name == topic:
            for words in (f"{one.title}.", one.why, f"Instead: {one.instead}"):
                click.echo(click.wrap_text(words, 78, preserve_paragraphs=True) + "\n")
            return
    if topic in VERBS and ctx.parent is not None and isinstance(ctx.parent.command, click.Group):
        verb = ctx.parent.command.get_command(ctx, topic)
        if verb is not None:
            with click.Context(verb, info_name=topic, parent=ctx.parent) as of_verb:
                click.echo(verb.get_help(of_verb))
            return
    raise PodError(
        f"there is no topic {topic!r}",
        needed=f"a verb, or one of: {', '.join(one.name for one in TOPICS)}",
        found=topic,
        changed="nothing",
    )
