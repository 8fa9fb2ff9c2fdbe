"""zaptrace keys: show our key, and say whom to trust."""

from __future__ import annotations

import click


@click.group(
    epilog="The files, and how a key is looked for, are described at the top of zaptrace/network/keys.py."
)
def command() -> None:
    """Show our key, and say whom to trust.

    \b
    zaptrace keys show                                        our public key
    zaptrace keys authorize zap-... alice@laptop              let that one send us pods
    zaptrace keys trust tcp://192.0.2.7:7077 zap-...          believe that server

    Keys are kept in $ZAPTRACE_CONFIG_DIR, else $XDG_CONFIG_HOME/zaptrace, else ~/.config/zaptrace,
    much as ssh does it. Whoever shares that directory needs none of this.
    """


@command.command()
def show() -> None:
    """Print our public key; it is made when there is none yet."""
    from ..network.keys import Keys

    click.echo(Keys().identity.text)


@command.command()
@click.argument("key", metavar="zap-...")
@click.argument("comment", default="")
def authorize(key: str, comment: str) -> None:
    """Let whoever has this key send us pods."""
    from ..network.keys import Keys

    Keys().authorize(key, comment)


command.add_command(authorize, "authorise")


@command.command()
@click.argument("endpoint", metavar="tcp://HOST:PORT")
@click.argument("key", metavar="zap-...")
def trust(endpoint: str, key: str) -> None:
    """Believe the server at that address when it proves that it has this key."""
    from ..network.keys import Keys, decode

    Keys().remember(endpoint, decode(key))
