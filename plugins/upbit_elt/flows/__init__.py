"""What each DAG does, from start to end: one module for each DAG, with the same name; the CLI calls it too."""
