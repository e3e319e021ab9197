"""`python -m upbit_elt.stack`, called by `./run`."""

from upbit_elt.stack.cli import main

main(prog_name="./run")
