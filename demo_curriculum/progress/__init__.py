"""The progress log of a run, and the views made from it."""
