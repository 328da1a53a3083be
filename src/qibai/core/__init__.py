"""The rules of number protection; imports no I/O."""
