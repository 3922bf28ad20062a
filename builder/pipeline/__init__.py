"""Runs builds: supervised workers, shards, resume.  Importing it imports no torch."""
