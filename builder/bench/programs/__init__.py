"""How good the programs are that are drawn: valid, different, realistic; before any capture."""
