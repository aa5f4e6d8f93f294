"""Recipes: named pipelines with options, one file each."""
