"""Types of what users type and what moves between the parts; no input or output."""
