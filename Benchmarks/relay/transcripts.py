"""Upstream transcripts as an OpenAI-style image stream would send them, from real PNG bytes."""

import base64
import json
import random
import struct
import zlib


def png(size_bytes: int, seed: int) -> bytes:
    """A valid 1024x1024 header followed by one private chunk that brings the file to about `size_bytes`."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1024, 1024, 8, 2, 0, 0, 0))
    filler = random.Random(seed).randbytes(max(0, size_bytes - len(head) - 24))
    return head + chunk(b"prVt", filler) + chunk(b"IEND", b"")


def event(name: str, payload: str, extra: dict) -> bytes:
    data = {
        "type": name, "b64_json": payload, "created_at": 1781870406, "size": "1024x1024", "quality": "high",
        "background": "opaque", "output_format": "png", **extra,
    }
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


USAGE = {
    "usage": {
        "input_tokens": 14, "input_tokens_details": {"image_tokens": 0, "text_tokens": 14}, "output_tokens": 272,
        "total_tokens": 286,
    }
}


def images() -> bytes:
    """Three previews of 1 MB and a picture of 1.5 MB, in base64."""
    out = b"".join(
        event(
            "image_generation.partial_image", base64.b64encode(png(1_000_000, index)).decode(),
            {"partial_image_index": index},
        )
        for index in range(3)
    )
    return out + event("image_generation.completed", base64.b64encode(png(1_500_000, 9)).decode(), USAGE)


def short() -> bytes:
    """50 events of about 170 bytes: 49 previews with next to no payload, and a picture."""
    tiny = base64.b64encode(png(0, 1)[:33]).decode()
    parts = []
    for index in range(49):
        data = {"type": "image_generation.partial_image", "b64_json": tiny, "partial_image_index": index, "size": "auto"}
        parts.append(f"data: {json.dumps(data, separators=(',', ':'))}\n\n".encode())
    data = {"type": "image_generation.completed", "b64_json": tiny, "size": "auto"}
    parts.append(f"data: {json.dumps(data, separators=(',', ':'))}\n\n".encode())
    return b"".join(parts)


def answer() -> bytes:
    """One picture of 1.5 MB as a whole answer, for gateways that do not stream pictures."""
    picture = base64.b64encode(png(1_500_000, 9)).decode()
    return json.dumps({"created": 1781870406, "data": [{"b64_json": picture}], **USAGE}).encode()
