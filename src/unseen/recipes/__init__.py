"""Recipes: how models like the target are trained, one kind a file."""
