"""The backends that come with snnc, one file or folder each."""
