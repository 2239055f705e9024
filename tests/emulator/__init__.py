"""The layer in AWS's own Runtime Interface Emulator."""
