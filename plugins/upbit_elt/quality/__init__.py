"""Quality: coverage report, reconciliation with the exchange, and the evidence of single minutes."""
