"""Mutation: programs that are edited versions of others.

A program file is read as a graph of values (``sites``), a few edits are drawn among all that are
possible (``edits`` and its tables), and each is kept if the program still runs and says something
else (``mutator``).
"""
