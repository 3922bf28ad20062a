"""Measurements of the executor and of verification: what ``torch2triton bench`` runs."""
