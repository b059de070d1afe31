"""The presence service of ArtCafe PubSub."""
