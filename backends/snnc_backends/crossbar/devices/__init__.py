"""Cells that come with snnc, plugins of the group `snnc.devices` like any other."""
