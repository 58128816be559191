"""Work that takes long, in processes of its own: pages hand it over as tickets, and ask how far it is."""
