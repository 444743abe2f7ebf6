"""Settings to live objects. The only file that sees every room; the driver table is here."""
