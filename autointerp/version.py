"""The version, in one place that setuptools reads without importing anything."""

VERSION = "0.1.0"
