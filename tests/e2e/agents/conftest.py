"""An RSA key, which is slow to generate."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(65537, 2048)
