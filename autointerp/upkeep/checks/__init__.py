"""What `db check` looks at, a module for each kind of rows; each check yields a line for each problem."""
