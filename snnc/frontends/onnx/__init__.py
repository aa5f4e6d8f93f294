"""ONNX models to graphs of stage `ann`. Importing this package does not import the parser."""
