"""The command `export`: a dictionary with its labels, in the format that the user asks for."""
