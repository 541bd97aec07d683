"""What a run tells when it ends."""
