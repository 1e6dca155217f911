"""Weights of published networks from files of other frameworks."""
