"""What was measured: each file here measures one thing and writes flat rows to results/, and their tables."""
