"""What a person looks at: tables for the terminal, figures, and one self-contained page for a run or a comparison."""
