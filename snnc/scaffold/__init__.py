"""A plugin package from templates: what `snnc new` writes."""

from snnc.scaffold.package import KINDS, Plugin, new_plugin

__all__ = ["KINDS", "Plugin", "new_plugin"]
