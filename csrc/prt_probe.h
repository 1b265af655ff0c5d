/* prt_probe: whether the kernel mounts an overlay here, found out by doing it.
 *
 * A child with vfork semantics enters a throw-away mount namespace (in the given user namespace), mounts an overlay of
 * `lower` with its upper on a tmpfs, and ends; the namespace and all mounts end with it. Nothing is left and nothing of
 * this process changes.
 */
#pragma once

#include "prt_error.h"

/* `userns` is -1 or the descriptor of a user namespace, where the overlay then uses user.* attributes. `lower` is an
 * absolute path; NULL tries the tmpfs alone. 0: it works; -1: *err says at which call it does not. */
int prt_probe_overlay(const char *lower, int userns, struct prt_error *err);
