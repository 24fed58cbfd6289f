"""Ways to a user namespace of one's own, tried one after the other; a script that units and programs run.

Each prints `NAME: refused` or `NAME: won`. Standard library only, from Python 3.7 on.
"""

import ctypes
import mmap
import os
import platform
import shutil
import subprocess
import threading

NEWUSER = 0x10000000
library = ctypes.CDLL(None, use_errno=True)
CLONE = {"x86_64": 56, "aarch64": 220}.get(platform.machine())
UNSHARE = {"x86_64": 272, "aarch64": 97}.get(platform.machine())


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def tell(name, won):
    say(name + ":", "won" if won else "refused")


def in_child(attempt):
    """Whether the attempt succeeds in a fork of ours; a child that it makes ends at once."""
    child = os.fork()
    if child == 0:
        os._exit(0 if attempt() else 1)
    return os.waitpid(child, 0)[1] == 0


def cloned(number, *arguments):
    made = library.syscall(number, *arguments)
    if made == 0:
        os._exit(0)
    return made > 0


class Arguments(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("flags", "pidfd", "child", "parent", "signal", "a", "b", "c")]


def by_32_bits():
    # push rbx; mov eax, 310 (unshare); mov ebx, CLONE_NEWUSER; int 0x80; pop rbx; ret
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\x53\xb8\x36\x01\x00\x00\xbb\x00\x00\x00\x10\xcd\x80\x5b\xc3")
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()


tell("unshare", in_child(lambda: library.unshare(NEWUSER) == 0))
tell("unshare by number", in_child(lambda: library.syscall(UNSHARE, NEWUSER | 0x20000) == 0))
tell("high half", in_child(lambda: library.syscall(UNSHARE, ctypes.c_ulong(NEWUSER | 1 << 40)) == 0))
tell("clone", in_child(lambda: cloned(CLONE, ctypes.c_ulong(NEWUSER | 17), 0, 0, 0, 0)))
wanted = Arguments(flags=NEWUSER, signal=17)
tell("clone3", in_child(lambda: cloned(435, ctypes.byref(wanted), ctypes.sizeof(wanted))))
if platform.machine() == "x86_64":
    tell("x32", in_child(lambda: library.syscall(0x40000000 | UNSHARE, NEWUSER) == 0))
    tell("32-bit call", in_child(lambda: by_32_bits() == 0))
program = shutil.which("unshare")
if program is not None:
    done = subprocess.run([program, "--user", "/bin/true"], stderr=subprocess.DEVNULL, check=False)
    tell("program", done.returncode == 0)

# What everybody needs still works.
ran = []
thread = threading.Thread(target=ran.append, args=(1,))
thread.start()
thread.join()
say("threads, children:", len(ran), subprocess.call(["/bin/true"]))
say("end")
