"""Exporters that come with snnc, plugins of the group `snnc.exporters`."""
