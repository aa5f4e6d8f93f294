"""What a plugin author imports to test a pass or a backend."""
