"""What becomes of listeners when processes of a running server are killed: measured, and checked."""
