"""Make dist/cl_spark.zip: the package as `spark-submit --py-files` ships it to drivers and executors.

A wheel given to --py-files is imported on the driver, but not by the workers of its executors; a zip is by
both. What the package depends on (numpy, pandas, pyarrow, pydantic, ...) has to be on the cluster already.
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def build(target: Path) -> Path:
    """Write the archive: the same bytes for the same files."""
    files = sorted(
        path for path in (ROOT / "cl_spark").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            entry = zipfile.ZipInfo(str(path.relative_to(ROOT)), (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return target


if __name__ == "__main__":
    print(build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist" / "cl_spark.zip"))
