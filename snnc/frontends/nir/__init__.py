"""NIR files to graphs of stage `snn`. Importing this package does not import the parser."""
