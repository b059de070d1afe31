"""The tenancy service of ArtCafe PubSub."""
