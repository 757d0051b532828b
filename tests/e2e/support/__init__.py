"""What the tests of the real programs share: see relay.py, certs.py, wire.py."""
