"""What drivers raise when a real server refuses a login, recorded and compared."""
