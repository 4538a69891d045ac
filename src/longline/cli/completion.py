"""`longline completion`: what completes these commands in a shell."""

from typing import Annotated, Literal

from cyclopts import Parameter


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell that is to complete.")], /
) -> int:
    """Print a script that completes the commands, their flags and what flags may be, in a shell.

    bash: `longline completion bash > ~/.local/share/bash-completion/completions/longline`.
    zsh: `longline completion zsh > DIR/_longline`, where DIR is in `$fpath`.
    fish: `longline completion fish > ~/.config/fish/completions/longline.fish`.
    """
    from longline.cli.tree import app

    print(app.generate_completion(prog_name="longline", shell=shell))
    if shell == "zsh":
        # zsh runs a file of another name than the function that it defines, and that function is not called.
        print('_cyclopts_longline "$@"')
    return 0
