"""The passes and recipes that come with snnc, one file each."""
