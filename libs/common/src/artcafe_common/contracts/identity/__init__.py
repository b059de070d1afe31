"""Contract of identity: keys, challenges, tokens, NATS accounts and streams."""
