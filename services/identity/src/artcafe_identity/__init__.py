"""The identity service of ArtCafe PubSub."""
