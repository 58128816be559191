"""Stage `harvest`: planned, carried out by one process or several, and stored."""
