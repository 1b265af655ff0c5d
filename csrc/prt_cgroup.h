/* prt_cgroup: the directories of one container in every cgroup hierarchy, made, filled and removed in one call each.
 *
 * An order is a flat buffer of NUL-terminated strings, executed from left to right:
 *
 *   "d" parent       make the directory parent/name, which the following operations are about
 *   "c" directory    go to a directory that is there already
 *   "w" file value   write the value to a file of the directory, in one write(2)
 *   "r" file value   the same, and read back what the kernel made of it
 *   "o" file         open a file of the directory for writing; "." is the directory itself
 *
 * `step` of an error is the operation's number, from 1. A failed order leaves nothing behind: what it made is removed
 * and what it opened is closed. The caller owns the order, and the descriptors of one that succeeded (they close on
 * exec).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "prt_error.h"

struct prt_cgroup_order {
	const char *ops;
	size_t size;
	const char *name;
};

struct prt_cgroup_result {
	int *fds; /* room for max_fds descriptors, one for each "o" */
	size_t max_fds;
	size_t n_fds;
	char *texts; /* what each "r" read, each with a newline and a NUL behind it */
	size_t max_texts;
	size_t n_texts;
};

/* Execute an order. */
int prt_cgroup_create(const struct prt_cgroup_order *order, struct prt_cgroup_result *result, struct prt_error *err);

/* Remove the directories parent/name; `order` holds the parents as strings. One that is gone counts as removed; one
 * that is busy is tried again for `patience_us` in all, since a dying task leaves its cgroup a little after it was
 * waited for. */
int prt_cgroup_remove(const struct prt_cgroup_order *order, unsigned patience_us, struct prt_error *err);

/* Load a BPF_PROG_TYPE_CGROUP_DEVICE program of `count` instructions (8 bytes each) and return its descriptor. */
int prt_cgroup_load_device_program(const void *instructions, uint32_t count, struct prt_error *err);

/* Attach a program to the v2 cgroup of a directory descriptor; it stays there when `program` is closed. */
int prt_cgroup_attach_device_program(int cgroup, int program, struct prt_error *err);
