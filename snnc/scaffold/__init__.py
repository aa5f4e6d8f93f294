"""Plugin packages from templates, as `snnc new` writes them."""

from snnc.scaffold.package import KINDS, Plugin, new_plugin

__all__ = ["KINDS", "Plugin", "new_plugin"]
