"""Worlds of known leakage, specimen attacks, and the checks every attack must pass; public, for third parties too."""
