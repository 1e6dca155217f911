"""Simulated 12-lead ECGs, labelled by construction."""
