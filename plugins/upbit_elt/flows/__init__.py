"""What each DAG does, from start to end: a module a DAG, of the same name."""
