"""The OpenAPI and AsyncAPI documents, and the page that displays them."""
