/* prt_tar_reader: what the sources of prt_tar share, and nobody else includes. */
#pragma once

#include <errno.h>
#include <linux/limits.h>

#include "prt_tar.h"

#define TAR_BLOCK 512

enum tar_state { TAR_HEADER, TAR_META, TAR_EXTENSION, TAR_MAP, TAR_DATA, TAR_PASSED, TAR_SKIP, TAR_END };

/* A growing heap block. */
struct tar_text {
	char *bytes;
	size_t size;
	size_t room;
};

struct tar_run {
	uint64_t offset;
	uint64_t size;
};

struct tar_runs {
	struct tar_run *list;
	size_t count;
	size_t room;
	size_t numbers; /* of a 1.0 map: how many were read of 1 + 2 * wanted */
	uint64_t wanted;
	uint64_t number; /* the one being read */
	int digits;
	int is_sparse;
};

struct prt_tar {
	size_t limit;
	uint64_t headers;
	uint64_t entries;
	enum tar_state state;
	int zeros;
	unsigned char block[TAR_BLOCK];
	size_t filled;
	struct tar_text local;  /* records of the pax header for the next entry */
	struct tar_text global; /* of all global ones so far */
	struct tar_text long_name;
	struct tar_text long_link;
	struct tar_text decoded; /* an xattr's value */
	struct tar_text *meta;   /* which of them is being read */
	uint64_t left;           /* bytes of it, or of the entry's data */
	uint64_t skip;           /* padding that follows */
	int has_meta;            /* a header that belongs to the next entry was read */
	size_t meta_bytes;       /* and all of them together have this size */
	struct tar_runs runs;
	size_t run; /* the one that data belongs to now */
	uint64_t run_at;
	struct prt_tar_data data;
	struct prt_tar_entry entry;
	char path[PATH_MAX];
	char target[PATH_MAX];
};

static inline int tar_bad(const struct prt_tar *tar, const char *msg, struct prt_error *err)
{
	return prt_fail(err, EBADMSG, "untar", tar->path, msg);
}

/* Make room for `more` bytes. */
int tar_text_reserve(struct prt_tar *tar, struct tar_text *text, size_t more, struct prt_error *err);

/* A name or link target of `size` bytes. */
int tar_set_path(struct prt_tar *tar, char to[PATH_MAX], const char *from, size_t size, struct prt_error *err);

/* prt_tar_number.c: digits of a base, and nothing else; -1 where there are none, others, or too many. */
int tar_digits(const char *text, size_t size, unsigned base, uint64_t *value);

/* An octal or base-256 field of a header. */
int tar_field(const unsigned char *field, size_t size, int64_t *value);

/* Seconds with a fraction: "-1.25" is -2 s and 750000000 ns. */
int tar_time(const char *text, size_t size, int64_t *seconds, uint32_t *ns);

/* Whether the header's checksum is right: of unsigned bytes or, as some have written it, of signed ones. */
int tar_checksum_is_right(const unsigned char *block);

/* prt_tar_pax.c: let the records change the entry, whose data have *size bytes; 1: a sparse map 1.0 comes first. */
int tar_pax_apply(struct prt_tar *tar, uint64_t *size, struct prt_error *err);

/* prt_tar_sparse.c */
int tar_runs_add(struct prt_tar *tar, uint64_t offset, uint64_t size, struct prt_error *err);

/* Pairs of offset and size from an old GNU header or extension block. */
int tar_runs_add_fields(struct prt_tar *tar, const unsigned char *fields, unsigned count, struct prt_error *err);

/* "offset,size,offset,size" */
int tar_runs_add_list(struct prt_tar *tar, const char *text, size_t size, struct prt_error *err);

/* A block of a 1.0 map; 1 when it is complete. */
int tar_runs_add_block(struct prt_tar *tar, const unsigned char *block, struct prt_error *err);

/* The runs ascend, stay inside of the file, and have `size` bytes in all. */
int tar_runs_check(struct prt_tar *tar, uint64_t size, struct prt_error *err);
