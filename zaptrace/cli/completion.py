"""zaptrace completion: print the shell's completion script."""

from __future__ import annotations

import click

_COMPINIT = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i; }"
"""A zsh of whom nobody asked for completion yet has none."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for SHELL; it completes verbs, options and pod names.

    \b
    eval "$(zaptrace completion bash)"                               in ~/.bashrc
    eval "$(zaptrace completion zsh)"                                in ~/.zshrc
    zaptrace completion fish > ~/.config/fish/completions/zaptrace.fish
    """
    from click.shell_completion import get_completion_class

    group = click.get_current_context().find_root().command
    script = get_completion_class(shell)
    assert script is not None
    source = script(group, {}, "zaptrace", "_ZAPTRACE_COMPLETE").source()
    if shell == "zsh":
        source = source.replace("#compdef zaptrace\n", f"#compdef zaptrace\n{_COMPINIT}\n", 1)
    click.echo(source)
