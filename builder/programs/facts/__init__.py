"""Facts about real models, with their source."""
