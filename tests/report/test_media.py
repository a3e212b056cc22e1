"""Values of image and text columns, as a page shows them."""

import base64

from cl_spark.report.media import shown


def test_values_are_shown_as_what_they_are() -> None:
    png = b"\x89PNG\r\n\x1a\n rest"
    encoded = base64.b64encode(png).decode()
    address = f"data:image/png;base64,{encoded}"
    assert (
        shown(png)
        == shown(bytearray(png))
        == shown(encoded)
        == shown({"path": "p", "bytes": png})
        == {"image": address}
    )
    assert shown("https://example.org/a.JPG?x=1") == {"image": "https://example.org/a.JPG?x=1"}
    for text in (
        "javascript:alert(1)//.png",
        "https://example.org/page",
        "iVBORw0KGgo but a text",
        "<img src=x>",
    ):
        assert shown(text) == {"text": text}
    for content in (b"RIFF\x24\x08\0\0WAVEfmt ", b"BMW is a text", b"BM" + b"\0" * 30, b"GIF8 is none"):
        assert shown(content) == {"text": f"{len(content):,} bytes"}
        text = base64.b64encode(content).decode()
        assert shown(text) == {"text": text}
    webp = b"RIFF\x24\x08\0\0WEBPVP8 "
    bitmap = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\2\0\0\0"
    for kind, content in (("webp", webp), ("bmp", bitmap)):
        address = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
        assert shown(content) == shown(base64.b64encode(content).decode()) == {"image": address}
    assert shown(None) == shown(float("nan")) == {"text": ""}
    assert shown(b"1234") == {"text": "4 bytes"}
    assert shown([1, 2]) == {"text": "[1, 2]"}
    assert len(shown("x" * 10_000)["text"]) == 2_000
