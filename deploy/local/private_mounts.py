"""Python source that gives a starting process mounts of its own, for the programs that start others.

Source and not a function: it runs in the child, under ``python -I -S -c``, before the program takes over.
"""

from __future__ import annotations

from typing import Final

#: Defines ``enter(flags, binds)``: a mount namespace (with CLONE_* flags beside) in which each (source,
#: target) is bound; in a user namespace unless we are root. Gives what failed, or nothing.
ENTER: Final = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def enter(flags, binds):
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(0x00020000 | flags | (0x10000000 if uid else 0)):
        return os.strerror(ctypes.get_errno())
    if uid:
        maps = (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1"))
        for file, text in maps:
            with open("/proc/self/" + file, "w") as opened:
                opened.write(text)
    libc.mount(b"none", b"/", None, 0x44000, None)
    for source, target in binds:
        if libc.mount(source.encode(), target.encode(), None, 0x1000, None):
            return target + ": " + os.strerror(ctypes.get_errno())
    return ""
"""
#: CLONE_NEWUTS of <linux/sched.h>: a host name of its own.
OWN_HOST_NAME: Final = 0x04000000
