"""Commands that `python -m upbit_elt` registers."""
