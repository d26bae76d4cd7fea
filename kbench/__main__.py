"""`python -m kbench` is the `kbench` command."""

from kbench.cli import main

main()
