/* prt_tar: reads tar archives, without any I/O: bytes go in as they come, entries and runs of data come out.
 *
 * Old v7, ustar, star, GNU (long names, base-256 numbers, old sparse files) and pax (POSIX records, xattrs of SCHILY and
 * LIBARCHIVE, GNU sparse 0.0, 0.1 and 1.0). Lengths are believed only after they were checked: what contradicts itself is
 * refused with EBADMSG, what is too long with EFBIG or ENAMETOOLONG. The operation of every error is "untar".
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "prt_error.h"

enum prt_tar_event {
	PRT_TAR_MORE,  /* all bytes are used up */
	PRT_TAR_ENTRY, /* prt_tar_entry() tells of a new entry */
	PRT_TAR_DATA,  /* a run of its data: prt_tar_data() */
	PRT_TAR_LAST,  /* it has no more data; follows every entry */
	PRT_TAR_END,   /* two zero blocks; whatever comes behind them is skipped */
};

struct prt_tar_entry {
	char type; /* '0' file, '1' hard link, '2' symlink, '3' character device, '4' block device, '5' directory, '6' fifo */
	uint32_t mode; /* permissions and set-id bits */
	uint32_t uid;
	uint32_t gid;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t mtime_ns;
	int64_t mtime;
	uint64_t size;      /* of the file, holes included */
	const char *path;   /* as in the archive, shorter than PATH_MAX */
	const char *target; /* of a link */
};

/* A part of the file, to be found in the buffer that was given last. */
struct prt_tar_data {
	const unsigned char *bytes;
	size_t size;
	uint64_t offset;
};

/* Name and value are valid until the next call. */
struct prt_tar_xattr {
	char name[256];
	const void *value;
	size_t size;
};

struct prt_tar;

/* A reader that accepts this many bytes of extended headers, sparse map and long names for one entry. */
struct prt_tar *prt_tar_new(size_t metadata_bytes);

void prt_tar_free(struct prt_tar *tar);

/* Go on to the next event, advancing *bytes and *size over what has been used. */
int prt_tar_next(struct prt_tar *tar, const unsigned char **bytes, size_t *size, struct prt_error *err);

const struct prt_tar_entry *prt_tar_entry(const struct prt_tar *tar);

const struct prt_tar_data *prt_tar_data(const struct prt_tar *tar);

/* The next extended attribute of the entry: 1, or 0 after the last. *at begins with 0. */
int prt_tar_xattr(struct prt_tar *tar, size_t *at, struct prt_tar_xattr *xattr, struct prt_error *err);

/* How many headers of any kind have been read. */
uint64_t prt_tar_headers(const struct prt_tar *tar);

/* Whether the archive may end here: after its end mark, or where an entry ends. */
int prt_tar_is_whole(const struct prt_tar *tar);
