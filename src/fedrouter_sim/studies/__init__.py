"""Many runs: planned, and set side by side."""
