"""What setuptools is told of zaptrace. The extension is described in csrc/build.py."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

TEST = [
    "clang-format~=23.1",
    "dask>=2024.1",
    "dotnetcore2>=3.1",
    "gunicorn>=21",
    "hypothesis>=6.80",
    "ipykernel>=6.29",
    "joblib>=1.3",
    "jupyter_client>=8.6",
    "mkdocs-material>=9.5,<10",
    "mypy>=1.11",
    "pyright>=1.1.400",
    "pytest>=7.4",
    "pytest-timeout>=2.1",
    "pytest-xdist>=3.3",
    "python-ptrace>=0.9.8",
    "ruff>=0.4",
    "supervisor>=4.2",
    "tqdm>=4.66",
]

OPTIONS: dict[str, dict[str, str]] = {"bdist_wheel": {"py_limited_api": "cp311"}}
if not os.access(HERE, os.W_OK):  # a tree that is not ours: setuptools is to write elsewhere, too
    elsewhere = tempfile.mkdtemp(prefix="zaptrace-build-")
    atexit.register(shutil.rmtree, elsewhere, ignore_errors=True)
    OPTIONS |= {"build": {"build_base": elsewhere}, "egg_info": {"egg_base": elsewhere}}

VERSION = re.search(
    r'^__version__ = "(.+)"$', (HERE / "zaptrace" / "__init__.py").read_text("utf-8"), re.M
)
assert VERSION

setup(
    name="zaptrace",
    version=VERSION[1],
    description="Checkpoint, restore and migrate groups of processes, without privilege",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["zaptrace", "zaptrace.*"]),
    package_data={"zaptrace": ["_native.pyi", "py.typed"]},
    cffi_modules=["csrc/build.py:ffibuilder"],
    install_requires=[
        "blake3>=0.4",
        "cffi>=1.16",
        "click>=8.1",
        "lz4>=4.3",
        "msgpack>=1.0.5",
        "pyzmq>=25",
        "rich>=13",
        "zstandard>=0.21",
    ],
    extras_require={"test": TEST, "bench": ["matplotlib>=3.6"]},
    entry_points={"console_scripts": ["zaptrace = zaptrace.cli:main"]},
    options=OPTIONS,
    zip_safe=False,
    classifiers=[
        "Operating System :: POSIX :: Linux",
        "Programming Language :: C",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: System :: Operating System Kernels :: Linux",
    ],
)
