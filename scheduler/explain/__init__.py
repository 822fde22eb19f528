"""Why a gang waits, in words its owner can act on, and the proof behind them."""
