#include "prt_tar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "prt_tar_reader.h"

#define GLOBAL_BYTES 4096 /* they are read again for every entry */

enum { NAME = 0, MODE = 100, UID = 108, GID = 116, SIZE = 124, MTIME = 136, TYPE = 156, LINK = 157, MAGIC = 257 };
enum { MAJOR = 329, MINOR = 337, PREFIX = 345, SPARSE = 386, EXTENDED = 482, REAL_SIZE = 483, STAR_MAGIC = 508 };
enum { EXTENSION_RUNS = 21, EXTENSION_EXTENDED = 504 };

int tar_text_reserve(struct prt_tar *tar, struct tar_text *text, size_t more, struct prt_error *err)
{
	size_t size = text->size + more;
	char *bytes;

	if (size <= text->room)
		return 0;
	size = size < 512 ? 512 : size;
	bytes = realloc(text->bytes, size);
	if (!bytes)
		return prt_fail(err, ENOMEM, "realloc", tar->path, NULL);
	text->bytes = bytes;
	text->room = size;
	return 0;
}

int tar_set_path(struct prt_tar *tar, char to[PATH_MAX], const char *from, size_t size, struct prt_error *err)
{
	if (size >= PATH_MAX)
		return prt_fail(err, ENAMETOOLONG, "untar", tar->path, "a name of 4096 bytes or more");
	if (memchr(from, 0, size))
		return tar_bad(tar, "a name with a NUL in it", err);
	memcpy(to, from, size);
	to[size] = 0;
	return 0;
}

static int is_zero(const unsigned char *block)
{
	return block[0] == 0 && memcmp(block, block + 1, TAR_BLOCK - 1) == 0;
}

static uint64_t padding(uint64_t size)
{
	return (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
}

static size_t field_length(const unsigned char *field, size_t size)
{
	const unsigned char *end = memchr(field, 0, size);

	return end ? (size_t)(end - field) : size;
}

static int number(const struct prt_tar *tar, const unsigned char *field, size_t size, int64_t max, int64_t *value,
		  struct prt_error *err)
{
	if (tar_field(field, size, value) < 0 || *value < 0 || *value > max)
		return tar_bad(tar, "a number in its header is none, or too large", err);
	return 0;
}

/* The fields of the next entry's own header are what an extended header belongs to. */
static int begin_meta(struct prt_tar *tar, char type, uint64_t size, struct prt_error *err)
{
	size_t before = type == 'g' ? tar->global.size : tar->meta_bytes;
	size_t limit = type == 'g' && tar->limit > GLOBAL_BYTES ? GLOBAL_BYTES : tar->limit;

	if (size > limit || before > limit - size)
		return prt_fail(err, EFBIG, "untar", tar->path, "extended headers over the limit");
	tar->meta = type == 'g'   ? &tar->global
		    : type == 'L' ? &tar->long_name
		    : type == 'K' ? &tar->long_link
				  : &tar->local;
	if (type != 'g') {
		tar->meta->size = 0;
		tar->has_meta = 1;
		tar->meta_bytes += size;
	}
	tar->left = size;
	tar->skip = padding(size);
	tar->state = TAR_META;
	return tar_text_reserve(tar, tar->meta, size, err);
}

/* The name of a header: ustar and star have a prefix, to be put before it. */
static void header_path(struct prt_tar *tar, const unsigned char *block)
{
	size_t size = 0, name = field_length(block + NAME, 100);

	if (memcmp(block + MAGIC, "ustar\0", 6) == 0) {
		int is_star = memcmp(block + STAR_MAGIC, "tar\0", 4) == 0;
		size = field_length(block + PREFIX, is_star ? 131 : 155);
		memcpy(tar->path, block + PREFIX, size);
		if (size > 0)
			tar->path[size++] = '/';
	}
	memcpy(tar->path + size, block + NAME, name);
	tar->path[size + name] = 0;
	size = field_length(block + LINK, 100);
	memcpy(tar->target, block + LINK, size);
	tar->target[size] = 0;
}

static int header_numbers(struct prt_tar *tar, const unsigned char *block, struct prt_error *err)
{
	struct prt_tar_entry *entry = &tar->entry;
	int64_t mode, uid, gid, dev_major = 0, dev_minor = 0;
	int is_device = (entry->type == '3' || entry->type == '4') && memcmp(block + MAGIC, "ustar", 5) == 0;

	if (number(tar, block + MODE, 8, INT64_MAX, &mode, err) < 0 ||
	    number(tar, block + UID, 8, UINT32_MAX - 1, &uid, err) < 0 ||
	    number(tar, block + GID, 8, UINT32_MAX - 1, &gid, err) < 0)
		return -1;
	if (is_device && (number(tar, block + MAJOR, 8, 0xfff, &dev_major, err) < 0 ||
			  number(tar, block + MINOR, 8, 0xfffff, &dev_minor, err) < 0))
		return -1;
	if (tar_field(block + MTIME, 12, &entry->mtime) < 0)
		return tar_bad(tar, "its time of modification is none", err);
	entry->mode = (uint32_t)mode & 07777;
	entry->uid = (uint32_t)uid;
	entry->gid = (uint32_t)gid;
	entry->dev_major = (uint32_t)dev_major;
	entry->dev_minor = (uint32_t)dev_minor;
	entry->mtime_ns = 0;
	return 0;
}

/* What a header's type byte means: a character of struct prt_tar_entry, or 0. */
static char type_of(const struct prt_tar *tar, char type)
{
	size_t size = strlen(tar->path);

	if (type == 0) /* of old v7, which had no type for directories */
		return size > 0 && tar->path[size - 1] == '/' && !tar->long_name.size ? '5' : '0';
	if (type == '7' || type == 'S')
		return '0';
	return (char)(type >= '0' && type <= '6' ? type : type == 'D' ? '5' : 0);
}

/* Names of GNU's own headers, which come before the entry's. */
static int apply_long(struct prt_tar *tar, struct prt_error *err)
{
	const struct tar_text *name = &tar->long_name, *link = &tar->long_link;

	if (name->size && tar_set_path(tar, tar->path, name->bytes,
				       field_length((const unsigned char *)name->bytes, name->size), err) < 0)
		return -1;
	if (link->size && tar_set_path(tar, tar->target, link->bytes,
				       field_length((const unsigned char *)link->bytes, link->size), err) < 0)
		return -1;
	return 0;
}

static int begin_data(struct prt_tar *tar, struct prt_error *err)
{
	if (tar->runs.is_sparse && tar_runs_check(tar, tar->left, err) < 0)
		return -1;
	tar->run = 0;
	tar->run_at = 0;
	tar->entries++;
	tar->state = TAR_DATA;
	return PRT_TAR_ENTRY;
}

static int old_sparse(struct prt_tar *tar, const unsigned char *block, struct prt_error *err)
{
	int64_t size;

	if (number(tar, block + REAL_SIZE, 12, INT64_MAX, &size, err) < 0)
		return -1;
	tar->entry.size = (uint64_t)size;
	tar->runs.is_sparse = 1;
	tar->runs.count = 0;
	if (tar_runs_add_fields(tar, block + SPARSE, 4, err) < 0)
		return -1;
	if (!block[EXTENDED])
		return begin_data(tar, err);
	tar->state = TAR_EXTENSION;
	return PRT_TAR_MORE;
}

/* An entry's header: PRT_TAR_ENTRY, or PRT_TAR_MORE where a sparse map comes before its data. */
static int on_entry(struct prt_tar *tar, const unsigned char *block, uint64_t size, struct prt_error *err)
{
	char type = (char)block[TYPE];
	int map;

	header_path(tar, block);
	if (apply_long(tar, err) < 0)
		return -1;
	tar->entry.type = type_of(tar, type);
	if (!tar->entry.type)
		return tar_bad(tar, "an entry of a type that is not known", err);
	if (header_numbers(tar, block, err) < 0)
		return -1;
	map = tar_pax_apply(tar, &size, err);
	if (map < 0 || apply_long(tar, err) < 0)
		return -1;
	if (tar->entry.type != '0') {
		tar->entry.size = 0;
		size = type == 'D' ? size : 0; /* names of a GNU incremental archive */
	}
	tar->left = tar->entry.type == '0' ? size : 0;
	tar->skip = tar->entry.type == '0' ? padding(size) : size + padding(size);
	if (type == 'S')
		return old_sparse(tar, block, err);
	if (map == 0)
		return begin_data(tar, err);
	tar->state = TAR_MAP;
	return PRT_TAR_MORE;
}

static int on_header(struct prt_tar *tar, const unsigned char *block, struct prt_error *err)
{
	char type = (char)block[TYPE];
	int64_t size;

	if (is_zero(block)) {
		if (tar->has_meta)
			return tar_bad(tar, "the archive ends behind an extended header", err);
		if (++tar->zeros == 2)
			tar->state = TAR_END;
		return PRT_TAR_MORE;
	}
	if (tar->zeros)
		return tar_bad(tar, "the zero block behind it is not the end", err);
	if (!tar_checksum_is_right(block))
		return tar_bad(tar, "the header behind it has a wrong checksum", err);
	tar->headers++;
	if (number(tar, block + SIZE, 12, INT64_MAX - TAR_BLOCK, &size, err) < 0)
		return -1;
	if (type == 'x' || type == 'X' || type == 'g' || type == 'L' || type == 'K')
		return begin_meta(tar, type == 'X' ? 'x' : type, (uint64_t)size, err) < 0 ? -1 : PRT_TAR_MORE;
	if (type == 'V') { /* the label of a tape */
		tar->skip = (uint64_t)size + padding((uint64_t)size);
		tar->state = TAR_SKIP;
		return PRT_TAR_MORE;
	}
	return on_entry(tar, block, (uint64_t)size, err);
}

static int on_extension(struct prt_tar *tar, const unsigned char *block, struct prt_error *err)
{
	if (tar_runs_add_fields(tar, block, EXTENSION_RUNS, err) < 0)
		return -1;
	tar->meta_bytes += TAR_BLOCK;
	if (tar->meta_bytes > tar->limit)
		return prt_fail(err, EFBIG, "untar", tar->path, "its sparse map is too long");
	return block[EXTENSION_EXTENDED] ? PRT_TAR_MORE : begin_data(tar, err);
}

static int on_map(struct prt_tar *tar, const unsigned char *block, struct prt_error *err)
{
	int ret;

	if (tar->left < TAR_BLOCK)
		return tar_bad(tar, "its sparse map does not fit its data", err);
	tar->left -= TAR_BLOCK;
	ret = tar_runs_add_block(tar, block, err);
	return ret <= 0 ? ret : begin_data(tar, err);
}

/* The next whole block, in place where it lies in one piece; NULL when bytes lack. */
static const unsigned char *take_block(struct prt_tar *tar, const unsigned char **bytes, size_t *size)
{
	const unsigned char *block = *bytes;
	size_t n = TAR_BLOCK - tar->filled;

	if (tar->filled > 0 || *size < TAR_BLOCK) {
		n = n < *size ? n : *size;
		if (n > 0)
			memcpy(tar->block + tar->filled, *bytes, n);
		tar->filled += n;
		block = tar->filled == TAR_BLOCK ? tar->block : NULL;
	}
	if (block)
		tar->filled = 0;
	*bytes += n;
	*size -= n;
	return block;
}

static void take_meta(struct prt_tar *tar, const unsigned char **bytes, size_t *size)
{
	size_t n = *size < tar->left ? *size : (size_t)tar->left;

	if (n > 0)
		memcpy(tar->meta->bytes + tar->meta->size, *bytes, n);
	tar->meta->size += n;
	tar->left -= n;
	*bytes += n;
	*size -= n;
	if (tar->left == 0)
		tar->state = TAR_SKIP;
}

static int take_data(struct prt_tar *tar, const unsigned char **bytes, size_t *size)
{
	uint64_t n = tar->left < *size ? tar->left : *size;

	if (tar->left == 0) {
		tar->state = TAR_PASSED;
		return PRT_TAR_LAST;
	}
	if (n == 0)
		return PRT_TAR_MORE;
	tar->data.offset = tar->entry.size - tar->left;
	if (tar->runs.is_sparse) {
		while (tar->run_at == tar->runs.list[tar->run].size) {
			tar->run++;
			tar->run_at = 0;
		}
		const struct tar_run *run = &tar->runs.list[tar->run];
		n = n < run->size - tar->run_at ? n : run->size - tar->run_at;
		tar->data.offset = run->offset + tar->run_at;
		tar->run_at += n;
	}
	tar->data.bytes = *bytes;
	tar->data.size = (size_t)n;
	tar->left -= n;
	*bytes += n;
	*size -= n;
	return PRT_TAR_DATA;
}

/* What belonged to the entry that has passed. */
static void forget_entry(struct prt_tar *tar)
{
	tar->local.size = tar->long_name.size = tar->long_link.size = 0;
	tar->has_meta = 0;
	tar->meta_bytes = 0;
	tar->runs = (struct tar_runs){.list = tar->runs.list, .room = tar->runs.room};
	tar->state = TAR_SKIP;
}

int prt_tar_next(struct prt_tar *tar, const unsigned char **bytes, size_t *size, struct prt_error *err)
{
	const unsigned char *block;
	int ret = PRT_TAR_MORE;
	size_t n;

	while (ret == PRT_TAR_MORE) {
		switch (tar->state) {
		case TAR_HEADER:
		case TAR_EXTENSION:
		case TAR_MAP:
			block = take_block(tar, bytes, size);
			if (!block)
				return PRT_TAR_MORE;
			ret = tar->state == TAR_HEADER      ? on_header(tar, block, err)
			      : tar->state == TAR_EXTENSION ? on_extension(tar, block, err)
							    : on_map(tar, block, err);
			break;
		case TAR_META:
			take_meta(tar, bytes, size);
			if (tar->state == TAR_META)
				return PRT_TAR_MORE;
			break;
		case TAR_DATA:
			return take_data(tar, bytes, size);
		case TAR_PASSED:
			forget_entry(tar);
			break;
		case TAR_SKIP:
			n = *size < tar->skip ? *size : (size_t)tar->skip;
			tar->skip -= n;
			*bytes += n;
			*size -= n;
			if (tar->skip > 0)
				return PRT_TAR_MORE;
			tar->state = TAR_HEADER;
			break;
		case TAR_END:
			*bytes += *size;
			*size = 0;
			return PRT_TAR_END;
		}
	}
	return ret;
}
