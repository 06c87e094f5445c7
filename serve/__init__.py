"""The running server: settings, logs, identity, socket, REST, deployments, edge, jobs, command line.

On top of everything; nothing of ours imports it. Ray Serve is `from ray import serve as ray_serve`,
since the bare form would shadow this package.
"""
