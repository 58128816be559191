"""Labels that people and other tools give, stored from files, and labels written to files that can be edited."""
