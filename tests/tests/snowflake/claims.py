"""Checks the signature of a JWT with the official libraries; its claims, and the fingerprint of the key, as JSON.

Usage: claims.py KEY TOKEN
"""

import base64
import hashlib
import json
import sys

import jwt
from cryptography.hazmat.primitives import serialization

with open(sys.argv[1], "rb") as file:
    public = serialization.load_pem_private_key(file.read(), None).public_key()
claims = jwt.decode(sys.argv[2], public, ["RS256"], options={"require": ["iss", "sub", "iat", "exp"]})
der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
fingerprint = "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()
print(json.dumps({"claims": claims, "fingerprint": fingerprint}))
