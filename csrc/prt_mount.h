/* prt_mount: mounts as descriptors (fsopen(2), open_tree(2), move_mount(2), mount_setattr(2); Linux 5.12).
 *
 * A mount is made or cloned detached, given its attributes, and attached to a descriptor of its place: no path is resolved
 * twice. Returned descriptors are the caller's, and close on exec.
 */
#pragma once

#include "prt_error.h"

/* Make a mount of `type`. `options` is a list of key, NUL, value, NUL (an empty value: a flag), ended by an empty key. What
 * the file system says of a failure is in err->msg. */
int prt_mount_new(const char *type, const char *source, const char *options, uint64_t attributes,
		  struct prt_error *err);

/* Clone the mount at `path`, seen from `dirfd` (an empty path: dirfd itself). */
int prt_mount_clone(int dirfd, const char *path, int recursive, struct prt_error *err);

/* Set attributes (MOUNT_ATTR_*) and propagation (MS_*; 0: leave) of the mount that `fd` is the root of. */
int prt_mount_set(int fd, uint64_t attributes, uint64_t propagation, int recursive, struct prt_error *err);

/* Attach a detached mount to the place `target`; `path` is for the message. */
int prt_mount_attach(int fd, int target, const char *path, struct prt_error *err);

/* Clone the mount at `path` without what is mounted below, so that ids look from inside the user namespace `userns` as they
 * are on disk (MOUNT_ATTR_IDMAP, mount_setattr(2)). */
int prt_mount_idmapped(const char *path, int userns, struct prt_error *err);
