"""One file a family; each lists its reference cases in CASES."""
