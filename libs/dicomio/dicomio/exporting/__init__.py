"""Exports: objects out of the object store to a destination, as they are or proven anonymous.

One pipeline for the command line and the services::

    pieces          files of an export, read and checked, as they are
    anonymisation   how an export is de-identified
    proving         each object rewritten, written, read again, compared; what fails is held back
    publishing      a destination, and how it is filled: all of it, then the manifest
    folder          the destination that is a folder
    bucket          the destination that is a prefix of an object store
    peer            the destination that is a DICOM peer
    zipping         what is in a bucket as one ZIP file, made while it is read
"""
