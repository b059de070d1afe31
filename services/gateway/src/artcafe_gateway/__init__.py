"""The gateway service of ArtCafe PubSub."""
