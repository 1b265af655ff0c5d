#include <errno.h>
#include <string.h>

#include "prt_tar_reader.h"

enum key {
	PATH,
	LINKPATH,
	SIZE,
	UID,
	GID,
	MTIME,
	MAJOR,
	MINOR,
	NAME,
	REAL_SIZE,
	SPARSE_SIZE,
	MAP,
	OFFSET,
	BYTES,
	KEYS
};

static const char *const NAMES[KEYS] = {
	[PATH] = "path",
	[LINKPATH] = "linkpath",
	[SIZE] = "size",
	[UID] = "uid",
	[GID] = "gid",
	[MTIME] = "mtime",
	[MAJOR] = "GNU.sparse.major",
	[MINOR] = "GNU.sparse.minor",
	[NAME] = "GNU.sparse.name",
	[REAL_SIZE] = "GNU.sparse.realsize",
	[SPARSE_SIZE] = "GNU.sparse.size",
	[MAP] = "GNU.sparse.map",
	[OFFSET] = "GNU.sparse.offset",
	[BYTES] = "GNU.sparse.numbytes",
};

struct span {
	const char *text; /* NULL: not there */
	size_t size;
};

struct record {
	struct span key;
	struct span value;
};

/* The record at *at, "size key=value\n", where size counts all of it; 0 at the end. */
static int next_record(const struct prt_tar *tar, const struct tar_text *text, size_t *at, struct record *record,
		       struct prt_error *err)
{
	const char *from, *space, *equals;
	size_t left = text->size - *at;
	uint64_t size;

	if (left == 0)
		return 0;
	from = text->bytes + *at;
	space = memchr(from, ' ', left < 20 ? left : 20);
	if (!space || tar_digits(from, (size_t)(space - from), 10, &size) < 0)
		return tar_bad(tar, "a record of its pax header has no length", err);
	if (size > left || size < (size_t)(space - from) + 3 || from[size - 1] != '\n')
		return tar_bad(tar, "a record of its pax header lies about its length", err);
	equals = memchr(space + 1, '=', size - (size_t)(space + 1 - from));
	if (!equals || equals == space + 1)
		return tar_bad(tar, "a record of its pax header has no name", err);
	record->key = (struct span){space + 1, (size_t)(equals - space - 1)};
	record->value = (struct span){equals + 1, (size_t)(from + size - 1 - (equals + 1))};
	*at += size;
	return 1;
}

static int key_of(struct span name)
{
	for (int key = 0; key < KEYS; key++)
		if (strlen(NAMES[key]) == name.size && memcmp(NAMES[key], name.text, name.size) == 0)
			return key;
	return KEYS;
}

static int number_of(const struct prt_tar *tar, struct span span, uint64_t max, uint64_t *value, struct prt_error *err)
{
	if (!span.text)
		return 0;
	if (tar_digits(span.text, span.size, 10, value) < 0 || *value > max)
		return tar_bad(tar, "a number in its pax header is none, or too large", err);
	return 0;
}

/* GNU sparse 0.0 says its map by pairs of records. */
static int take_pair(struct prt_tar *tar, struct span *spans, struct prt_error *err)
{
	uint64_t offset = 0, size = 0;

	if (!spans[OFFSET].text)
		return tar_bad(tar, "its sparse map is not in order or leaves the file", err);
	if (number_of(tar, spans[OFFSET], INT64_MAX, &offset, err) < 0 ||
	    number_of(tar, spans[BYTES], INT64_MAX, &size, err) < 0)
		return -1;
	spans[OFFSET] = spans[BYTES] = (struct span){NULL, 0};
	return tar_runs_add(tar, offset, size, err);
}

/* The last value of each key. An empty one takes back what was said before. */
static int collect(struct prt_tar *tar, const struct tar_text *text, struct span *spans, struct prt_error *err)
{
	struct record record;
	size_t at = 0;
	int ret, is_global = text == &tar->global;

	while ((ret = next_record(tar, text, &at, &record, err)) > 0) {
		int key = key_of(record.key);
		if (key == KEYS || (is_global && key >= MAJOR))
			continue;
		spans[key] = record.value.size ? record.value : (struct span){NULL, 0};
		if (key == BYTES && take_pair(tar, spans, err) < 0)
			return -1;
	}
	return ret;
}

static int apply_sparse(struct prt_tar *tar, const struct span *spans, struct prt_error *err)
{
	int is_1_0 = spans[MAJOR].text && spans[MAJOR].text[0] == '1';
	struct span size = spans[spans[REAL_SIZE].text ? REAL_SIZE : SPARSE_SIZE];

	if (!is_1_0 && !spans[MAP].text && !tar->runs.count && !size.text)
		return 0;
	if (!size.text || tar->entry.type != '0')
		return tar_bad(tar, "a sparse map without a size, or of no file", err);
	if (spans[NAME].text && tar_set_path(tar, tar->path, spans[NAME].text, spans[NAME].size, err) < 0)
		return -1;
	if (number_of(tar, size, INT64_MAX, &tar->entry.size, err) < 0)
		return -1;
	tar->runs.is_sparse = 1;
	if (is_1_0) {
		if (tar->runs.count || (spans[MINOR].text && spans[MINOR].text[0] != '0'))
			return tar_bad(tar, "a sparse format that is not known", err);
		return 1;
	}
	if (spans[MAP].text) {
		tar->runs.count = 0;
		return tar_runs_add_list(tar, spans[MAP].text, spans[MAP].size, err);
	}
	return 0;
}

int tar_pax_apply(struct prt_tar *tar, uint64_t *size, struct prt_error *err)
{
	struct span spans[KEYS] = {{NULL, 0}};
	struct prt_tar_entry *entry = &tar->entry;
	uint64_t uid = entry->uid, gid = entry->gid;

	if (collect(tar, &tar->global, spans, err) < 0 || collect(tar, &tar->local, spans, err) < 0)
		return -1;
	if (spans[PATH].text && tar_set_path(tar, tar->path, spans[PATH].text, spans[PATH].size, err) < 0)
		return -1;
	if (spans[LINKPATH].text && tar_set_path(tar, tar->target, spans[LINKPATH].text, spans[LINKPATH].size, err) < 0)
		return -1;
	if (number_of(tar, spans[SIZE], INT64_MAX, size, err) < 0 ||
	    number_of(tar, spans[UID], UINT32_MAX - 1, &uid, err) < 0 ||
	    number_of(tar, spans[GID], UINT32_MAX - 1, &gid, err) < 0)
		return -1;
	if (spans[MTIME].text && tar_time(spans[MTIME].text, spans[MTIME].size, &entry->mtime, &entry->mtime_ns) < 0)
		return tar_bad(tar, "its time of modification is none", err);
	entry->uid = (uint32_t)uid;
	entry->gid = (uint32_t)gid;
	entry->size = *size;
	return apply_sparse(tar, spans, err);
}

static int is_prefixed(struct span text, const char *prefix)
{
	return text.size > strlen(prefix) && memcmp(text.text, prefix, strlen(prefix)) == 0;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int is_coded(const char *text, size_t size, const char *only)
{
	return size > 2 && hex(text[1]) >= 0 && hex(text[2]) >= 0 && strchr(only, hex(text[1]) * 16 + hex(text[2])) &&
	       (text[1] != '0' || text[2] != '0');
}

/* "%3D" is "="; the size of the name, or 0 where it is none. `only` these characters are looked for, NULL: all. */
static size_t percent_decode(struct span from, char *to, size_t room, const char *only)
{
	size_t size = 0;

	for (size_t i = 0; i < from.size; i++) {
		char c = from.text[i];
		if (c == '%' && (!only || is_coded(from.text + i, from.size - i, only))) {
			if (i + 2 >= from.size || hex(from.text[i + 1]) < 0 || hex(from.text[i + 2]) < 0)
				return 0;
			c = (char)(hex(from.text[i + 1]) * 16 + hex(from.text[i + 2]));
			i += 2;
		}
		if (size + 1 >= room || !c)
			return 0;
		to[size++] = c;
	}
	to[size] = 0;
	return size;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static int base64_decode(struct prt_tar *tar, struct span from, struct prt_error *err)
{
	uint32_t bits = 0;
	unsigned count = 0;

	tar->decoded.size = 0;
	if (tar_text_reserve(tar, &tar->decoded, from.size + 1, err) < 0)
		return -1;
	while (from.size > 0 && from.text[from.size - 1] == '=')
		from.size--;
	for (size_t i = 0; i < from.size; i++) {
		int value = base64_value(from.text[i]);
		if (value < 0)
			return tar_bad(tar, "an extended attribute is no base64", err);
		bits = bits << 6 | (uint32_t)value;
		count += 6;
		if (count < 8)
			continue;
		count -= 8;
		tar->decoded.bytes[tar->decoded.size++] = (char)(bits >> count);
	}
	return 0;
}

static int take_xattr(struct prt_tar *tar, const struct record *record, struct prt_tar_xattr *xattr,
		      struct prt_error *err)
{
	const char *schily = "SCHILY.xattr.", *libarchive = "LIBARCHIVE.xattr.";
	struct span name = record->key;

	if (is_prefixed(name, schily)) {
		name = (struct span){name.text + strlen(schily), name.size - strlen(schily)};
		if (!percent_decode(name, xattr->name, sizeof xattr->name, "=%")) /* as GNU tar */
			return tar_bad(tar, "the name of an extended attribute is none", err);
		xattr->value = record->value.text;
		xattr->size = record->value.size;
		return 1;
	}
	if (!is_prefixed(name, libarchive))
		return 0;
	name = (struct span){name.text + strlen(libarchive), name.size - strlen(libarchive)};
	if (!percent_decode(name, xattr->name, sizeof xattr->name, NULL))
		return tar_bad(tar, "the name of an extended attribute is none", err);
	if (base64_decode(tar, record->value, err) < 0)
		return -1;
	xattr->value = tar->decoded.bytes;
	xattr->size = tar->decoded.size;
	return 1;
}

int prt_tar_xattr(struct prt_tar *tar, size_t *at, struct prt_tar_xattr *xattr, struct prt_error *err)
{
	struct record record;
	int ret = 1;

	while (ret > 0) {
		int is_local = *at >= tar->global.size;
		size_t inner = is_local ? *at - tar->global.size : *at;

		ret = next_record(tar, is_local ? &tar->local : &tar->global, &inner, &record, err);
		*at = is_local ? tar->global.size + inner : inner;
		if (ret <= 0)
			return ret;
		int taken = take_xattr(tar, &record, xattr, err);
		if (taken)
			return taken;
	}
	return ret;
}
