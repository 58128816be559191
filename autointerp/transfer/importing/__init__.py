"""The command `import`: read a dictionary from files, decide where it belongs, and store it."""
