"""``python -m qibai``: the command line."""

from qibai.cli import main

main()
