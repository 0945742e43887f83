"""Compression: responses in gzip, brotli or zstd, with the headers that HTTP asks for."""

from .configuration import DEFAULT_EXCLUDED_CONTENT_TYPES as DEFAULT_EXCLUDED_CONTENT_TYPES
from .middleware import CompressionMiddleware as CompressionMiddleware
from .middleware import GZipMiddleware as GZipMiddleware
