"""Programs: made from seeds by families, loaded from text, gated before anything costly runs."""
