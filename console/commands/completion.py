"""`relais completion`."""

import click
from click.shell_completion import get_completion_class

from console import cli


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def command(shell: str) -> None:
    """Print the completion of a shell: commands and options with the Tab key.

    \b
    Examples:
      relais completion bash > ~/.local/share/bash-completion/completions/relais
      relais completion zsh > "${fpath[1]}/_relais"
      relais completion fish > ~/.config/fish/completions/relais.fish
    """
    if (made := get_completion_class(shell)) is not None:  # click knows each shell of the choice
        click.echo(made(cli.relais, {}, "relais", "_RELAIS_COMPLETE").source())
