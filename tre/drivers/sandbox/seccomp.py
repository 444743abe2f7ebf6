"""The system calls that bubblewrap leaves open and a member does not need."""

import errno
import os
import tempfile
from typing import Final

import pyseccomp as sc

TIOCSTI: Final = 0x5412
TIOCLINUX: Final = 0x541C
CLONE_NEWUSER: Final = 0x10000000
CLONE_NAMESPACES: Final = 0x7E020000 | 0x00000080
"""Every CLONE_NEW* bit, CLONE_NEWTIME included."""

DENIED: Final = (
    "add_key", "keyctl", "request_key",
    "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd",
    "unshare", "setns",
    "bpf", "perf_event_open", "userfaultfd",
    "mount", "umount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount", "fspick", "open_tree",
    "move_mount", "mount_setattr", "name_to_handle_at", "open_by_handle_at", "quotactl", "quotactl_fd",
    "swapon", "swapoff", "reboot", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
    "acct", "syslog", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
    "iopl", "ioperm", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "lookup_dcookie", "nfsservctl", "vm86", "vm86old", "modify_ldt", "personality", "mbind", "move_pages",
    "migrate_pages", "set_mempolicy",
)  # fmt: skip


def filter_bytes() -> bytes:
    """The compiled filter for this machine: default allow, the above refused with EPERM.

    ``clone3`` answers ENOSYS, so that libraries fall back to ``clone``, whose flags can be looked at. Calls of a
    foreign architecture (32-bit, x32) are refused by libseccomp's default.
    """
    rules = sc.SyscallFilter(sc.ALLOW)
    refuse = sc.ERRNO(errno.EPERM)
    for name in DENIED:
        try:
            number = sc.resolve_syscall(sc.Arch.NATIVE, name)
        except (RuntimeError, ValueError):
            continue
        if number >= 0:
            rules.add_rule(refuse, name)
    rules.add_rule(sc.ERRNO(errno.ENOSYS), "clone3")
    for bit in range(32):
        flag = 1 << bit
        if CLONE_NAMESPACES & flag:
            rules.add_rule(refuse, "clone", sc.Arg(0, sc.MASKED_EQ, flag, flag))
    for request in (TIOCSTI, TIOCLINUX):
        rules.add_rule(refuse, "ioctl", sc.Arg(1, sc.MASKED_EQ, 0xFFFFFFFF, request))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return os.pread(file.fileno(), 1 << 20, 0)
