"""The command line, a module a group of commands; each is loaded when one of its commands is called."""
