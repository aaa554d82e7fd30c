"""A registry of deliberately wrong versions; a survivor is a property that is missing."""
