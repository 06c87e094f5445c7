"""What may be played: tracks, albums, artists, episodes; markets and plans.

Pure. Imports `kernel` only.
"""
