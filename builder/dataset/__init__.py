"""Rows, journal, shards and card of a data set, and its way to the Hub."""
