"""libseccomp, called as runc calls it: what it makes of an OCI document."""

from __future__ import annotations

import json
import os
from types import TracebackType
from typing import Any

from cffi import FFI

__all__ = ["LibSeccomp"]

DECLARATIONS = """
typedef void *scmp_filter_ctx;
struct scmp_arg_cmp { unsigned int arg; int op; uint64_t datum_a; uint64_t datum_b; };
scmp_filter_ctx seccomp_init(uint32_t def_action);
void seccomp_release(scmp_filter_ctx ctx);
uint32_t seccomp_arch_resolve_name(const char *arch_name);
int seccomp_arch_add(scmp_filter_ctx ctx, uint32_t arch_token);
int seccomp_syscall_resolve_name(const char *name);
int seccomp_syscall_resolve_name_arch(uint32_t arch_token, const char *name);
int seccomp_attr_set(scmp_filter_ctx ctx, int attr, uint32_t value);
int seccomp_rule_add_array(scmp_filter_ctx ctx, uint32_t action, int syscall, unsigned int arg_cnt,
                           const struct scmp_arg_cmp *arg_array);
int seccomp_export_bpf(const scmp_filter_ctx ctx, int fd);
"""
ACTIONS = {
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x30000,
    "SCMP_ACT_ERRNO": 0x50000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
OPERATORS = ("", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")  # by the number of enum scmp_compare
UNKNOWN = -1  # __NR_SCMP_ERROR
OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE


class LibSeccomp:
    """The library, opened without its headers. `program` gives what it compiles, `number` what it knows."""

    def __init__(self) -> None:
        self._ffi = FFI()
        self._ffi.cdef(DECLARATIONS)
        self._lib: Any = self._ffi.dlopen("libseccomp.so.2")

    def __enter__(self) -> LibSeccomp:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ffi.dlclose(self._lib)

    def number(self, architecture: str, name: str) -> int | None:
        """Return a call's number (below 0: one that only other architectures have), None where it is unknown."""
        token = self._lib.seccomp_arch_resolve_name(_lib_name(architecture))
        found = int(self._lib.seccomp_syscall_resolve_name_arch(token, name.encode()))
        return None if found == UNKNOWN else found

    def program(self, document: bytes, *, tree: bool = False) -> bytes:
        """Compile an OCI document; with `tree` as runc asks for it, with the library's own binary tree."""
        policy = json.loads(document)
        default = _action(policy["defaultAction"], policy.get("defaultErrnoRet"))
        context = self._lib.seccomp_init(default)
        try:
            for name in policy.get("architectures") or ():
                token = self._lib.seccomp_arch_resolve_name(_lib_name(name))
                self._check(self._lib.seccomp_arch_add(context, token), name, known=-17)
            if tree:
                self._check(self._lib.seccomp_attr_set(context, OPTIMIZE, 2), "optimize")
            for rule in policy["syscalls"]:
                action = _action(rule["action"], rule.get("errnoRet"))
                if action != default:
                    self._add(context, action, rule)
            return self._export(context)
        finally:
            self._lib.seccomp_release(context)

    def _add(self, context: Any, action: int, rule: Any) -> None:
        args = rule.get("args") or []
        repeated = len({each["index"] for each in args}) < len(args)
        for name in rule["names"]:
            number = self._lib.seccomp_syscall_resolve_name(name.encode())
            if number == UNKNOWN:
                continue
            for chain in [[each] for each in args] if repeated else [args]:
                array = self._ffi.new("struct scmp_arg_cmp[6]")
                for slot, each in zip(array, chain, strict=False):
                    slot.arg, slot.op = each["index"], OPERATORS.index(each["op"].removeprefix("SCMP_CMP_"))
                    slot.datum_a, slot.datum_b = each["value"], each.get("valueTwo", 0)
                self._check(self._lib.seccomp_rule_add_array(context, action, number, len(chain), array), name)

    def _export(self, context: Any) -> bytes:
        fd = os.memfd_create("filter", os.MFD_CLOEXEC)
        try:
            self._check(self._lib.seccomp_export_bpf(context, fd), "export")
            return os.pread(fd, os.fstat(fd).st_size, 0)
        finally:
            os.close(fd)

    def _check(self, result: int, what: str, known: int = 0) -> None:
        if result not in (0, known):
            raise RuntimeError(f"libseccomp: {what}: {os.strerror(-result)}")


def _action(name: str, errno_value: int | None) -> int:
    if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        return ACTIONS[name] | (1 if errno_value is None else errno_value)
    return ACTIONS[name]


def _lib_name(architecture: str) -> bytes:
    return architecture.removeprefix("SCMP_ARCH_").lower().encode()
