"""The frame of one command: the workspace's folder and lock, settings, runs, plans, targets and evidence."""
