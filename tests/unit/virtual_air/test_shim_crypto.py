"""The cryptography inside the daemon, against published vectors and a second implementation."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshtwin.virtual_air.programs import COMPILER_FLAGS, SHIM_SOURCE

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")

RFC_4493_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
RFC_4493_MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)


def size(value: int) -> ctypes.c_size_t:
    return ctypes.c_size_t(value)


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    path: Path = tmp_path_factory.mktemp("shim") / "shim.so"
    subprocess.run(["gcc", *COMPILER_FLAGS, "-Werror", "-Wextra", "-o", path, SHIM_SOURCE, "-ldl"], check=True)
    library = ctypes.CDLL(str(path))
    for name in ("l_cipher_new", "l_checksum_new_cmac_aes", "l_aead_cipher_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.l_aead_cipher_encrypt.restype = library.l_aead_cipher_decrypt.restype = ctypes.c_bool
    return library


def test_aes_gives_the_vector_of_fips_197(shim: ctypes.CDLL) -> None:
    cipher = shim.l_cipher_new(0, bytes(range(16)), size(16))
    out = ctypes.create_string_buffer(16)

    shim.l_cipher_encrypt(ctypes.c_void_p(cipher), bytes.fromhex("00112233445566778899aabbccddeeff"), out, size(16))

    assert out.raw.hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"


@pytest.mark.parametrize(
    ("length", "digest"),
    [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ],
)
def test_cmac_gives_the_vectors_of_rfc_4493_also_when_used_again(shim: ctypes.CDLL, length: int, digest: str) -> None:
    mac = ctypes.c_void_p(shim.l_checksum_new_cmac_aes(RFC_4493_KEY, size(16)))
    out = ctypes.create_string_buffer(16)

    for _ in range(2):
        shim.l_checksum_update(mac, RFC_4493_MESSAGE[:length], size(length))
        shim.l_checksum_get_digest(mac, out, size(16))
        assert out.raw.hex() == digest


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    key=st.binary(min_size=16, max_size=16),
    nonce=st.binary(min_size=12, max_size=12),
    plain=st.binary(max_size=384),
    extra=st.sampled_from([b"", b"label uuid 16 b."]),
    tag=st.sampled_from([4, 8]),
)
def test_ccm_agrees_with_a_second_implementation_both_ways(
    shim: ctypes.CDLL, key: bytes, nonce: bytes, plain: bytes, extra: bytes, tag: int
) -> None:
    application_nonce = b"\x01" + nonce
    cipher = ctypes.c_void_p(shim.l_aead_cipher_new(0, key, size(16), size(tag)))
    sealed, opened = ctypes.create_string_buffer(len(plain) + tag), ctypes.create_string_buffer(max(1, len(plain)))
    common = (extra, size(len(extra)), application_nonce, size(13))

    shim.l_aead_cipher_encrypt(cipher, plain, size(len(plain)), *common, sealed, size(len(sealed)))
    good = shim.l_aead_cipher_decrypt(cipher, sealed, size(len(sealed)), *common, opened, size(len(opened)))
    broken = bytes((sealed.raw[0] ^ 1,)) + sealed.raw[1:]
    bad = shim.l_aead_cipher_decrypt(cipher, broken, size(len(broken)), *common, opened, size(len(opened)))
    shim.l_aead_cipher_free(cipher)

    assert sealed.raw == AESCCM(key, tag).encrypt(application_nonce, plain, extra or None)
    assert (good, bad) == (True, False)
    assert opened.raw[: len(plain)] == plain


def test_a_relayed_pdu_keeps_its_net_mic(shim: ctypes.CDLL) -> None:
    """A relay decrypts in place, and encrypts in place with a length that lacks the four bytes of the MIC."""
    key, nonce, plain = bytes(range(16)), b"\x00" + bytes(12), bytes(range(14))
    cipher = ctypes.c_void_p(shim.l_aead_cipher_new(0, key, size(16), size(4)))
    buffer = ctypes.create_string_buffer(AESCCM(key, 4).encrypt(nonce, plain, None), 32)
    common = (None, size(0), nonce, size(13))

    assert shim.l_aead_cipher_decrypt(cipher, buffer, size(18), *common, buffer, size(14))
    short = len(plain) - 4
    assert shim.l_aead_cipher_encrypt(cipher, buffer, size(short), *common, buffer, size(14))

    assert buffer.raw[:18] == AESCCM(key, 4).encrypt(nonce, plain, None)
