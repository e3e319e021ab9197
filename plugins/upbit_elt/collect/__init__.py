"""Collection: from the exchange into the lake, live windows first, history behind them."""
