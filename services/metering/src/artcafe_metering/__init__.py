"""The metering service of ArtCafe PubSub."""
