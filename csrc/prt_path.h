/* prt_path: paths below a root directory that no symlink, `..` or race leads out of.
 *
 * `root` is a directory descriptor; paths are resolved as a process chrooted there would (absolute symlinks and `..` stay
 * inside, magic links of procfs are refused). openat2(2) does it in the kernel; where that says ENOSYS (before Linux 5.6, or
 * an old seccomp filter around us) or races without end, a walk by components does: at most 256 directories deep, and a
 * magic link is no more to it than the text that it shows. Returned descriptors are the caller's, and close on exec.
 */
#pragma once

#include "prt_error.h"

/* openat(2) flags, plus RESOLVE_* bits of openat2(2) that are wanted besides IN_ROOT and NO_MAGICLINKS. */
int prt_path_open(int root, const char *path, int flags, unsigned mode, uint64_t resolve, struct prt_error *err);

/* Open a directory (O_PATH), making it and its parents with `mode` where they are missing. */
int prt_path_mkdirs(int root, const char *path, unsigned mode, struct prt_error *err);

/* Open a regular file or anything that is there (O_PATH); make an empty one and its parents where nothing is. */
int prt_path_mkfile(int root, const char *path, unsigned mode, struct prt_error *err);

/* Open the directory that holds the last component of `path`, making it where missing; *name points into `path`. */
int prt_path_parent(int root, const char *path, unsigned mode, const char **name, struct prt_error *err);

/* The walk that prt_path_open falls back on; public for its tests. */
int prt_path_walk(int root, const char *path, int flags, unsigned mode, uint64_t resolve, struct prt_error *err);
