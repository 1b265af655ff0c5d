"""The doors into C: each module takes Python values, makes one call without the GIL, checks it, gives values back.

Failures are pyrt.errors.SyscallError, made in `error` alone. `pyrt-init`, the program that runs between clone and exec, lies
beside them. Nothing here decides anything.
"""
