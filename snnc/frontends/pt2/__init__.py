"""Programs of torch.export, read as data: `torch.export.save(program, "model.pt2")`."""
