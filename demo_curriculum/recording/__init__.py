"""What makes demos: recorders, the search that finds one by itself, and the import of other programs' recordings."""
