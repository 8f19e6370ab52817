"""Files: CSV, JSON, Parquet and Excel, packed or not, in folders, in S3 and at URLs."""

from headwater.sources.files.connector import FilesConnector

__all__ = ["FilesConnector"]
