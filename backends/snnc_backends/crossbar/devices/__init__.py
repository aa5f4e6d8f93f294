"""The devices that come with snnc, plugins of the group `snnc.devices`."""
